"""People typing at a server, all at once; and those who leave, stop reading or send rubbish."""
