-- Ghost text from `codegen25 lsp`, for Neovim 0.7 and later.
--
-- Where Neovim has inline completion of its own (0.12), that is used; before, the suggestion is
-- drawn here, with extmarks. One suggestion at a time, in the buffer where somebody types.

local M = {}

local api, lsp = vim.api, vim.lsp
local namespace = api.nvim_create_namespace("codegen25")
local AUTOMATIC, INVOKED = 2, 1

local defaults = {
  cmd = { "codegen25", "lsp" },
  filetypes = nil, -- a list; without one: every buffer that is a file
  init_options = nil, -- model, weights, threads, max_tokens, multi_line, budget_ms, sure
  accept = "<Tab>", -- false: no key; map it yourself to require("codegen25").accept()
  invoke = false, -- a key that asks for a suggestion, in the middle of a line too
  pause_ms = 40, -- after the last key
  highlight = "Comment",
}

local options = defaults
local client_id = nil
local shown = nil -- { buffer, row, col, text, item }: the suggestion on the screen
local asked = nil -- { client, id }: the request under way
local timer = nil
local enabled = true

-- ------------------------------------------------------------------------------------- the client

local function native()
  return lsp.inline_completion ~= nil and lsp.inline_completion.enable ~= nil
end

local function get_client()
  return client_id and lsp.get_client_by_id(client_id) or nil
end

-- From 0.11 on a client's functions are methods.
local function call(client, name, ...)
  if vim.fn.has("nvim-0.11") == 1 then
    return client[name](client, ...)
  end
  return client[name](...)
end

local function forget_request()
  if asked then
    local client = lsp.get_client_by_id(asked.client)
    if client then
      pcall(call, client, "cancel_request", asked.id)
    end
    asked = nil
  end
end

-- ----------------------------------------------------------------------------------- the ghost text

local function clear()
  if shown then
    if api.nvim_buf_is_valid(shown.buffer) then
      api.nvim_buf_clear_namespace(shown.buffer, namespace, 0, -1)
    end
    shown = nil
  end
end

local function draw()
  api.nvim_buf_clear_namespace(shown.buffer, namespace, 0, -1)
  local lines = vim.split(shown.text, "\n", { plain = true })
  local line = api.nvim_buf_get_lines(shown.buffer, shown.row, shown.row + 1, true)[1]
  local rest = line:sub(shown.col + 1)
  local chunks = { { lines[1], options.highlight } }
  if #lines == 1 and rest ~= "" then
    chunks[2] = { rest, "Normal" } -- drawn over, so drawn again behind the suggestion
  end
  local below = {}
  for i = 2, #lines do
    below[#below + 1] = { { lines[i], options.highlight } }
  end
  api.nvim_buf_set_extmark(shown.buffer, namespace, shown.row, shown.col, {
    virt_text = chunks,
    virt_text_pos = "overlay",
    virt_lines = #below > 0 and below or nil,
    hl_mode = "combine",
  })
end

local function cursor()
  local at = api.nvim_win_get_cursor(0)
  return at[1] - 1, at[2]
end

-- Whether what was typed since is how the suggestion begins; then the rest of it stays.
local function typed_through()
  local buffer = api.nvim_get_current_buf()
  local row, col = cursor()
  if not shown or buffer ~= shown.buffer or row ~= shown.row or col < shown.col then
    return false
  end
  local line = api.nvim_buf_get_lines(buffer, row, row + 1, true)[1]
  local typed = line:sub(shown.col + 1, col)
  local same = line:sub(1, shown.col) == shown.before and line:sub(col + 1) == shown.after
  if not same or typed == shown.text or shown.text:sub(1, #typed) ~= typed then
    return false
  end
  if typed ~= "" then
    shown.text, shown.col, shown.before = shown.text:sub(#typed + 1), col, line:sub(1, col)
    draw()
  end
  return true
end

-- --------------------------------------------------------------------------------------- asking

local function show(buffer, tick, row, col, result)
  local item = result and (result.items or result)[1]
  local current = api.nvim_get_current_buf()
  local now_row, now_col = cursor()
  if not item or type(item.insertText) ~= "string" or item.insertText == "" then
    return
  end
  if current ~= buffer or now_row ~= row or now_col ~= col then
    return
  end
  if api.nvim_buf_get_changedtick(buffer) ~= tick or not vim.fn.mode():match("^[iR]") then
    return
  end
  clear()
  local line = api.nvim_buf_get_lines(buffer, row, row + 1, true)[1]
  shown = {
    buffer = buffer, row = row, col = col, text = item.insertText, item = item,
    before = line:sub(1, col), after = line:sub(col + 1),
  }
  draw()
end

local function ask(kind)
  local client, buffer = get_client(), api.nvim_get_current_buf()
  if not client or not enabled or not lsp.buf_is_attached(buffer, client.id) then
    return
  end
  forget_request()
  local row, col = cursor()
  local tick = api.nvim_buf_get_changedtick(buffer)
  local params = lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  local own = {}
  local ok, id = call(client, "request", "textDocument/inlineCompletion", params, function(err, result)
    if asked == own then
      asked = nil
    end
    if not err then
      show(buffer, tick, row, col, result)
    end
  end, buffer)
  if ok then
    own.client, own.id = client.id, id
    asked = own
  end
end

local function ask_soon()
  if timer then
    timer:stop()
  else
    timer = vim.loop.new_timer()
  end
  timer:start(options.pause_ms, 0, vim.schedule_wrap(function()
    if vim.fn.mode():match("^[iR]") then
      ask(AUTOMATIC)
    end
  end))
end

-- ------------------------------------------------------------------------------------ for the user

--- Insert the suggestion; false when there is none.
function M.accept()
  if native() then
    return lsp.inline_completion.get() and true or false
  end
  if not shown or not typed_through() then
    return false
  end
  local it = shown
  clear()
  local lines = vim.split(it.text, "\n", { plain = true })
  api.nvim_buf_set_text(it.buffer, it.row, it.col, it.row, it.col, lines)
  local col = #lines[#lines] + (#lines == 1 and it.col or 0)
  api.nvim_win_set_cursor(0, { it.row + #lines, col })
  local client = get_client()
  if client and it.item.command then
    local command = it.item.command
    call(client, "request", "workspace/executeCommand", {
      command = command.command, arguments = command.arguments,
    }, function() end, it.buffer)
  end
  return true
end

--- Take the suggestion off the screen.
function M.dismiss()
  forget_request()
  clear()
end

--- Ask for a suggestion here and now.
function M.invoke()
  if native() then
    lsp.inline_completion.get()
  else
    ask(INVOKED)
  end
end

--- What is suggested at the cursor, or nil.
function M.suggestion()
  return shown and shown.text or nil
end

--- Suggestions on, off, or the other way round when nothing is given.
function M.enable(yes)
  if yes == nil then
    enabled = not enabled
  else
    enabled = yes
  end
  if native() then
    lsp.inline_completion.enable(enabled)
  end
  if not enabled then
    M.dismiss()
  end
end

-- ---------------------------------------------------------------------------------------- set-up

local function config()
  local capabilities = lsp.protocol.make_client_capabilities()
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  return {
    name = "codegen25",
    cmd = options.cmd,
    filetypes = options.filetypes,
    root_dir = vim.loop.cwd(),
    init_options = options.init_options,
    capabilities = capabilities,
    flags = { debounce_text_changes = 0 },
    on_exit = function()
      client_id = nil
      vim.schedule(M.dismiss)
    end,
  }
end

local function attach(buffer)
  local wanted = options.filetypes == nil or vim.tbl_contains(options.filetypes, vim.bo[buffer].filetype)
  if not wanted or vim.bo[buffer].buftype ~= "" or vim.bo[buffer].filetype == "" then
    return
  end
  if not get_client() then
    client_id = lsp.start_client(config())
  end
  if client_id and not lsp.buf_is_attached(buffer, client_id) then
    lsp.buf_attach_client(buffer, client_id)
  end
end

local function watch(group)
  local function on(events, callback)
    api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on({ "TextChangedI", "TextChangedP" }, function()
    if not typed_through() then
      M.dismiss()
      ask_soon()
    end
  end)
  on("CursorMovedI", function()
    if shown and not typed_through() then
      clear()
    end
  end)
  on("InsertEnter", ask_soon)
  on({ "InsertLeave", "BufLeave" }, M.dismiss)
end

local function map_keys()
  if options.accept then
    local keys = api.nvim_replace_termcodes(options.accept, true, false, true)
    vim.keymap.set("i", options.accept, function()
      if not M.accept() then
        api.nvim_feedkeys(keys, "nt", false)
      end
    end, { desc = "codegen25: accept the suggestion, or the key itself" })
  end
  if options.invoke then
    vim.keymap.set("i", options.invoke, M.invoke, { desc = "codegen25: suggest something" })
  end
end

--- Start with the first file that is opened. `given` overrides the defaults above.
function M.setup(given)
  options = vim.tbl_extend("force", defaults, given or {})
  local group = api.nvim_create_augroup("codegen25", { clear = true })
  if native() then
    lsp.config("codegen25", config())
    lsp.enable("codegen25")
    lsp.inline_completion.enable(true)
  else
    api.nvim_create_autocmd("FileType", {
      group = group,
      callback = function(event)
        attach(event.buf)
      end,
    })
    watch(group)
    attach(api.nvim_get_current_buf())
  end
  map_keys()
end

return M
