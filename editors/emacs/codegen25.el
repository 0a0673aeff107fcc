;;; codegen25.el --- Ghost text from `codegen25 lsp' by eglot  -*- lexical-binding: t -*-
;; TAB accepts the suggestion; any other key dismisses it, and typing asks for the next one.

(require 'eglot)
(defvar-local codegen25--ghost nil "The overlay of the suggestion, or nil.")

(defun codegen25-dismiss ()
  (when codegen25--ghost (delete-overlay codegen25--ghost))
  (setq codegen25--ghost nil))

(defun codegen25-suggest (buffer point kind)
  "Ask for a suggestion, and show it if nothing has happened in the meantime."
  (interactive (list (current-buffer) (point) 1))
  (with-current-buffer buffer
    (when (and codegen25-mode (eglot-current-server) (= point (point)))
      (eglot--signal-textDocument/didChange)
      (let ((tick (buffer-chars-modified-tick)))
        (jsonrpc-async-request
         (eglot-current-server) :textDocument/inlineCompletion
         `(,@(eglot--TextDocumentPositionParams) :context (:triggerKind ,kind))
         :success-fn
         (lambda (items)
           (with-current-buffer buffer
             (when (and (= point (point)) (= tick (buffer-chars-modified-tick)) (< 0 (length items)))
               (codegen25-dismiss)
               (setq codegen25--ghost (make-overlay point point))
               (let ((text (plist-get (elt items 0) :insertText)))
                 (overlay-put codegen25--ghost 'item (elt items 0))
                 (overlay-put codegen25--ghost 'after-string
                              (propertize text 'face 'shadow 'cursor t)))))))))))

(defun codegen25-accept ()
  (interactive)
  (let ((item (overlay-get codegen25--ghost 'item)))
    (codegen25-dismiss)
    (insert (plist-get item :insertText))
    (jsonrpc-async-request (eglot-current-server) :workspace/executeCommand
                           (plist-get item :command) :success-fn #'ignore)))

(defun codegen25--after-command ()
  (codegen25-dismiss)
  (when (memq this-command '(self-insert-command newline delete-backward-char codegen25-accept))
    (run-with-idle-timer 0.1 nil #'codegen25-suggest (current-buffer) (point) 2)))

(define-minor-mode codegen25-mode
  "Ghost text from codegen25 in buffers that eglot manages."
  :keymap `((,(kbd "TAB") menu-item "" codegen25-accept
             :filter ,(lambda (command) (and codegen25--ghost command))))
  (funcall (if codegen25-mode #'add-hook #'remove-hook)
           'post-command-hook #'codegen25--after-command nil t))

(provide 'codegen25)
