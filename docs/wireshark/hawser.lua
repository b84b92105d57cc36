-- Wireshark dissector for HAWSER 1 (docs/protocol.md) and netcode 1.02 (docs/netcode.md), as they are on the wire, and for the packets
-- without their seal that `hawser capture --plaintext` writes. It is tried with Wireshark 4.0, whose Lua is 5.2.
--
-- To use it once:     wireshark -X lua_script:hawser.lua file.pcapng
-- To keep it:         copy it into the folder that Help > About > Folders calls "Personal Lua Plugins"

local hawser = Proto("hawser", "HAWSER 1")
local netcode = Proto("hawser.netcode", "netcode 1.02")
local plain = Proto("hawser.plain", "Packet without its seal")

-- ---- Names of docs/protocol.md -------------------------------------------------------------------------------------

local DATAGRAM_NAMES = {
  [0xa0] = "REQUEST", [0xa1] = "CHALLENGE", [0xa2] = "RESPONSE", [0xa3] = "ACCEPT", [0xa4] = "DENIED", [0xa5] = "RESET",
  [0xb0] = "session packet", [0xb4] = "session packet", [0xb8] = "session packet", [0xbc] = "session packet",
}

-- Of those that have one size.
local DATAGRAM_SIZES = { [0xa0] = 1200, [0xa1] = 94, [0xa2] = 1198, [0xa3] = 137, [0xa4] = 45 }

local FRAME_NAMES = {
  [0x00] = "PADDING", [0x01] = "PING", [0x02] = "PONG", [0x03] = "ACK", [0x04] = "ACK", [0x05] = "DISCONNECT",
  [0x06] = "GOAWAY", [0x07] = "NEW_ID", [0x08] = "RETIRE_ID", [0x09] = "KEY_UPDATE", [0x0a] = "KEY_UPDATE_REPLY",
  [0x0b] = "KEY_UPDATE_REFUSED", [0x0c] = "PATH_CHALLENGE", [0x0d] = "PATH_RESPONSE", [0x0e] = "CREDIT",
  [0x0f] = "CHANNEL_CREDIT", [0x10] = "MESSAGE", [0x11] = "MESSAGE", [0x12] = "MESSAGE", [0x13] = "MESSAGE",
  [0x14] = "SEQUENCED", [0x15] = "SEQUENCED", [0x16] = "SEQUENCED", [0x17] = "SEQUENCED", [0x18] = "RELIABLE",
  [0x19] = "RELIABLE", [0x1a] = "FRAGMENT", [0x1b] = "FRAGMENT", [0x1c] = "EXPIRED", [0x20] = "MTU_PROBE",
  [0x30] = "MESSAGE", [0x31] = "MESSAGE", [0x32] = "MESSAGE", [0x33] = "MESSAGE",
}

local DISCONNECT_CODES = {
  [0] = "NONE", [1] = "PROTOCOL_ERROR", [2] = "REPLACED", [3] = "SHUTTING_DOWN", [4] = "KEY_EXHAUSTED", [5] = "SERVER_FULL",
  [6] = "TOKEN_USED", [7] = "CLIENT_ID_CONNECTED", [8] = "HISTORY_UNAVAILABLE", [9] = "LIMIT_EXCEEDED",
  [10] = "SLOW_CONSUMER", [11] = "SEND_MEMORY_FULL",
  [12] = "NO_PROGRESS",
}

local REFUSAL_REASONS = { [1] = "UNKNOWN_SECRET", [2] = "DIFFERENT_SECRET", [3] = "UNAVAILABLE" }

local NETCODE_NAMES = {
  [0] = "REQUEST", [1] = "DENIED", [2] = "CHALLENGE", [3] = "RESPONSE", [4] = "KEEP_ALIVE", [5] = "PAYLOAD", [6] = "DISCONNECT",
}

local DIRECTIONS = { [0] = "received by the gateway", [1] = "sent by the gateway" }

local VERSION = "HAWSER 1"
local NETCODE_VERSION = "NETCODE 1.02\0"

-- ---- Fields --------------------------------------------------------------------------------------------------------

local f = {
  type = ProtoField.uint8("hawser.type", "Type", base.HEX, DATAGRAM_NAMES),
  name = ProtoField.string("hawser.name", "Datagram"),
  version = ProtoField.string("hawser.version", "Version"),
  protocol_id = ProtoField.uint64("hawser.protocol_id", "Protocol id", base.HEX),
  key_id = ProtoField.uint32("hawser.key_id", "Key id", base.HEX),
  token_flags = ProtoField.uint32("hawser.token_flags", "Flags", base.HEX),
  single_use = ProtoField.bool("hawser.token_flags.single_use", "Single use", 32, nil, 0x00000001),
  create_time = ProtoField.uint64("hawser.create_time", "Create time (Unix ms)"),
  expire_time = ProtoField.uint64("hawser.expire_time", "Expire time (Unix ms)"),
  token_nonce = ProtoField.bytes("hawser.token_nonce", "Nonce of the token"),
  private = ProtoField.bytes("hawser.private", "Private part of the token (sealed)"),
  client_share = ProtoField.bytes("hawser.client_share", "Client share"),
  zeros = ProtoField.bytes("hawser.zeros", "Zeros"),
  nonce = ProtoField.bytes("hawser.nonce", "Nonce"),
  sealed = ProtoField.bytes("hawser.sealed", "Sealed"),
  tag = ProtoField.bytes("hawser.tag", "Tag"),
  cookie_time = ProtoField.uint32("hawser.cookie.time", "Cookie: time (ms)"),
  cookie_index = ProtoField.uint8("hawser.cookie.index", "Cookie: key index"),
  cookie_mac = ProtoField.bytes("hawser.cookie.mac", "Cookie: MAC"),
  connection_id = ProtoField.bytes("hawser.connection_id", "Connection id"),
  reset_token = ProtoField.bytes("hawser.reset_token", "Reset token"),
  epoch_bits = ProtoField.uint8("hawser.epoch_bits", "Key epoch, low bits", base.DEC, nil, 0x0c),
  number_low = ProtoField.uint32("hawser.packet_number_low", "Packet number, low 32 bits"),
  ciphertext = ProtoField.bytes("hawser.ciphertext", "Ciphertext"),

  direction = ProtoField.uint8("hawser.direction", "Direction", base.DEC, DIRECTIONS),
  epoch = ProtoField.uint32("hawser.epoch", "Key epoch"),
  packet_number = ProtoField.uint64("hawser.packet_number", "Packet number"),

  frame = ProtoField.none("hawser.frame", "Frame"),
  frame_type = ProtoField.uint8("hawser.frame.type", "Type", base.HEX, FRAME_NAMES),
  frame_name = ProtoField.string("hawser.frame.name", "Frame"),
  padding = ProtoField.uint32("hawser.padding", "Bytes of padding"),
  sequence = ProtoField.uint64("hawser.sequence", "Sequence"),
  receive_time = ProtoField.uint64("hawser.receive_time", "Receive time (us)"),
  delay = ProtoField.uint64("hawser.delay", "Delay (us)"),
  ack_largest = ProtoField.uint64("hawser.ack.largest", "Largest acknowledged"),
  ack_count = ProtoField.uint64("hawser.ack.count", "Further ranges"),
  ack_first = ProtoField.uint64("hawser.ack.first_range", "First range"),
  ack_gap = ProtoField.uint64("hawser.ack.gap", "Gap"),
  ack_length = ProtoField.uint64("hawser.ack.length", "Length of the range"),
  ack_ect0 = ProtoField.uint64("hawser.ack.ect0", "Packets marked ECT(0)"),
  ack_ect1 = ProtoField.uint64("hawser.ack.ect1", "Packets marked ECT(1)"),
  ack_ce = ProtoField.uint64("hawser.ack.ce", "Packets marked CE"),
  code = ProtoField.uint32("hawser.disconnect.code", "Code", base.DEC, DISCONNECT_CODES),
  spread = ProtoField.uint32("hawser.reconnect_spread", "Reconnect spread (ms)"),
  reason_length = ProtoField.uint64("hawser.reason_length", "Length of the reason"),
  reason = ProtoField.string("hawser.disconnect.reason", "Reason", base.UNICODE),
  goaway_reason = ProtoField.uint32("hawser.goaway.reason", "Reason"),
  deadline = ProtoField.uint32("hawser.goaway.deadline", "Deadline (ms)"),
  has_address = ProtoField.uint8("hawser.goaway.has_address", "With an address"),
  address_kind = ProtoField.uint8("hawser.goaway.kind", "Kind of address", base.DEC, { [1] = "IPv4", [2] = "IPv6" }),
  ipv4 = ProtoField.ipv4("hawser.goaway.ipv4", "Address"),
  ipv6 = ProtoField.ipv6("hawser.goaway.ipv6", "Address"),
  port = ProtoField.uint16("hawser.goaway.port", "Port"),
  id_length = ProtoField.uint8("hawser.id_length", "Length of the id"),
  update_epoch = ProtoField.uint32("hawser.key_update.epoch", "Epoch"),
  share = ProtoField.bytes("hawser.key_update.share", "Share"),
  secret_id = ProtoField.bytes("hawser.key_update.secret_id", "Secret id"),
  mac = ProtoField.bytes("hawser.key_update.mac", "MAC"),
  refusal = ProtoField.uint8("hawser.key_update.reason", "Reason", base.DEC, REFUSAL_REASONS),
  path_data = ProtoField.bytes("hawser.path_data", "Data"),
  channel = ProtoField.uint64("hawser.channel", "Channel"),
  limit = ProtoField.uint64("hawser.limit", "Limit"),
  ahead = ProtoField.uint64("hawser.ahead", "Messages ahead"),
  number = ProtoField.uint64("hawser.message.number", "Message number"),
  total = ProtoField.uint64("hawser.message.total", "Length of the message"),
  offset = ProtoField.uint64("hawser.message.offset", "Offset in the message"),
  length = ProtoField.uint64("hawser.message.length", "Length"),
  size = ProtoField.uint64("hawser.message.size", "Bytes of messages"),
  data = ProtoField.bytes("hawser.message.data", "Data"),
}

local n = {
  prefix = ProtoField.uint8("hawser.netcode.prefix", "Prefix", base.HEX),
  type = ProtoField.uint8("hawser.netcode.type", "Type", base.DEC, NETCODE_NAMES, 0x0f),
  sequence_bytes = ProtoField.uint8("hawser.netcode.sequence_bytes", "Bytes of sequence number", base.DEC, nil, 0xf0),
  name = ProtoField.string("hawser.netcode.name", "Packet"),
  sequence = ProtoField.uint64("hawser.netcode.sequence", "Sequence number"),
  version = ProtoField.string("hawser.netcode.version", "Version"),
  protocol_id = ProtoField.uint64("hawser.netcode.protocol_id", "Protocol id", base.HEX),
  expire_time = ProtoField.uint64("hawser.netcode.expire_time", "Expire time (Unix s)"),
  nonce = ProtoField.bytes("hawser.netcode.nonce", "Nonce"),
  private = ProtoField.bytes("hawser.netcode.private", "Private part of the token (sealed)"),
  ciphertext = ProtoField.bytes("hawser.netcode.ciphertext", "Ciphertext"),
  tag = ProtoField.bytes("hawser.netcode.tag", "Tag"),
  challenge_sequence = ProtoField.uint64("hawser.netcode.challenge_sequence", "Sequence number of the challenge"),
  challenge_token = ProtoField.bytes("hawser.netcode.challenge_token", "Challenge token (sealed)"),
  client_index = ProtoField.uint32("hawser.netcode.client_index", "Client index"),
  max_clients = ProtoField.uint32("hawser.netcode.max_clients", "Most clients"),
  data = ProtoField.bytes("hawser.netcode.data", "Data"),
}

local p = {
  header_version = ProtoField.uint8("hawser.plain.version", "Version of this header"),
  kind = ProtoField.uint8("hawser.plain.kind", "Protocol", base.DEC, { [1] = "HAWSER 1", [2] = "netcode 1.02" }),
  detail = ProtoField.uint8("hawser.plain.detail", "Length of the connection id, or type of the netcode packet"),
}

local e = {
  malformed = ProtoExpert.new("hawser.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR),
  violation = ProtoExpert.new("hawser.violation", "Breaks a rule of the protocol", expert.group.PROTOCOL, expert.severity.WARN),
  cut = ProtoExpert.new("hawser.cut", "The capture has only its beginning", expert.group.UNDECODED, expert.severity.NOTE),
  ending = ProtoExpert.new("hawser.ending", "End of a connection", expert.group.SEQUENCE, expert.severity.CHAT),
}

local function values_of(fields)
  local list = {}
  for _, field in pairs(fields) do list[#list + 1] = field end
  return list
end

hawser.fields = values_of(f)
hawser.experts = values_of(e)
netcode.fields = values_of(n)
plain.fields = values_of(p)

hawser.prefs.ports = Pref.range("UDP ports", "", "Ports on which every datagram is taken for HAWSER or netcode. Handshakes are recognised on any port.", 65535)
hawser.prefs.id_length = Pref.uint("Length of connection ids", 8, "4 to 16 bytes: of session packets it is not on the wire. What a capture with plaintext shows goes before.")

-- ---- A cursor that never reads beyond the end -----------------------------------------------------------------------

local Cursor = {}
Cursor.__index = Cursor

local function cursor(tvb, at, stop)
  return setmetatable({ tvb = tvb, at = at, stop = stop, ok = true }, Cursor)
end

function Cursor:left()
  return self.stop - self.at
end

-- The next `count` bytes, or nil, and from then on `ok` is false.
function Cursor:take(count)
  if not self.ok or count > self.stop - self.at then
    self.ok = false
    return nil
  end
  local from = self.at
  self.at = from + count
  if count == 0 then return nil end
  return self.tvb(from, count)
end

-- Each of these adds a field to the tree and returns its value, or nil when it is not there.
function Cursor:uint(tree, field, bytes)
  local range = self:take(bytes)
  if range == nil then return nil end
  tree:add_le(field, range)
  return range:le_uint()
end

function Cursor:uint64(tree, field)
  local range = self:take(8)
  if range == nil then return nil end
  tree:add_le(field, range)
  return range:le_uint64()
end

function Cursor:bytes(tree, field, count)
  local range = self:take(count)
  if range ~= nil then tree:add(field, range) end
  return range
end

-- RFC 9000 section 16. Returns a number, which above 2^53 is only about right, and the same as a UInt64.
function Cursor:varint(tree, field)
  if not self.ok or self:left() < 1 then
    self.ok = false
    return nil
  end
  local first = self.tvb(self.at, 1):uint()
  local range = self:take(2 ^ math.floor(first / 64))
  if range == nil then return nil end
  local value
  if range:len() == 8 then
    value = range:uint64():band(UInt64.new(0xffffffff, 0x3fffffff))
    tree:add(field, range, value)
    return value:tonumber(), value
  end
  value = range:uint()
  if range:len() == 2 then value = value % 0x4000 end
  if range:len() == 4 then value = value % 0x40000000 end
  local exact = UInt64.new(value)
  tree:add(field, range, exact)
  return value, exact
end

-- A rule of docs/protocol.md section 6 that is about values.
local function require_that(tree, kept, rule)
  if not kept then tree:add_proto_expert_info(e.violation, rule) end
end

local LARGEST_NUMBER = UInt64.new(0xffffffff, 0x3fffffff)
local LONGEST_MESSAGE = 16777216
local LONGEST_REASON = 256

function Cursor:channel(tree)
  local channel = self:varint(tree, f.channel)
  if channel ~= nil then require_that(tree, channel <= 1023, "the channel is above 1,023") end
  return channel
end

-- The length of a whole message.
function Cursor:message_length(tree, field)
  local length = self:varint(tree, field)
  if length ~= nil then require_that(tree, length <= LONGEST_MESSAGE, "a message above 16,777,216 bytes") end
  return length
end

-- The rest, possibly nothing.
function Cursor:rest(tree, field)
  local count = self:left()
  self:bytes(tree, field, count)
  return count
end

-- ---- What is known of who speaks what ---------------------------------------------------------------------------------

-- By "address:port". A capture file that is opened anew begins anew.
local servers = {}
local id_lengths = {}

function hawser.init()
  servers = {}
  id_lengths = {}
end

local function source(pinfo) return tostring(pinfo.src) .. ":" .. tostring(pinfo.src_port) end
local function destination(pinfo) return tostring(pinfo.dst) .. ":" .. tostring(pinfo.dst_port) end

local function is_known(pinfo)
  return servers[source(pinfo)] or servers[destination(pinfo)]
end

local interface_description = Field.new("frame.interface_description")

-- `hawser capture` says in the file what its interfaces are.
local function is_own_capture()
  local info = interface_description()
  return info ~= nil and string.sub(tostring(info.value), 1, 7) == "hawser "
end

local function id_length_for(pinfo, size)
  local length = id_lengths[destination(pinfo)] or hawser.prefs.id_length
  if length < 4 or length > 16 then length = 8 end
  return math.min(length, math.max(0, size - 22))
end

local function hex(range)
  return tostring(range:bytes()):lower()
end

-- ---- Datagrams of HAWSER --------------------------------------------------------------------------------------------

local function add_time(cur, tree, field)
  local range = cur:take(8)
  if range == nil then return end
  local item = tree:add_le(field, range)
  local seconds = range:le_uint64():tonumber() / 1000
  if seconds >= 0 and seconds < 253402300800 then
    item:append_text(" (" .. os.date("!%Y-%m-%d %H:%M:%S", math.floor(seconds)) .. " UTC)")
  end
end

local function add_token(cur, tree)
  cur:bytes(tree, f.version, 8)
  cur:uint64(tree, f.protocol_id)
  local key_id = cur:uint(tree, f.key_id, 4)
  local flags = cur:take(4)
  if flags ~= nil then tree:add_le(f.token_flags, flags):add_le(f.single_use, flags) end
  add_time(cur, tree, f.create_time)
  add_time(cur, tree, f.expire_time)
  cur:bytes(tree, f.token_nonce, 24)
  cur:bytes(tree, f.private, 976)
  cur:bytes(tree, f.client_share, 32)
  return key_id == nil and "" or string.format(", server key %08x", key_id)
end

-- A nonce, what is sealed, and the tag.
local function add_sealed(cur, tree)
  cur:bytes(tree, f.nonce, 24)
  cur:bytes(tree, f.sealed, math.max(0, cur:left() - 16))
  cur:bytes(tree, f.tag, 16)
  return ""
end

local dissect_datagram = {
  [0xa0] = function(cur, tree)
    local told = add_token(cur, tree)
    cur:rest(tree, f.zeros)
    return told
  end,
  [0xa1] = add_sealed,
  [0xa2] = function(cur, tree)
    local told = add_token(cur, tree)
    cur:uint(tree, f.cookie_time, 4)
    cur:uint(tree, f.cookie_index, 1)
    cur:bytes(tree, f.cookie_mac, 16)
    add_sealed(cur, tree)
    return told
  end,
  [0xa3] = add_sealed,
  [0xa4] = add_sealed,
  [0xa5] = function(cur, tree)
    local id = cur:bytes(tree, f.connection_id, math.max(0, cur:left() - 16))
    cur:bytes(tree, f.reset_token, 16)
    tree:add_proto_expert_info(e.ending, "the gateway does not know the connection")
    return id == nil and "" or " of " .. hex(id)
  end,
}

local function dissect_session_packet(cur, tree, pinfo)
  local id = cur:bytes(tree, f.connection_id, id_length_for(pinfo, cur.stop))
  local number = cur:uint(tree, f.number_low, 4)
  local protected = math.max(0, cur:left() - 16)
  cur:bytes(tree, f.ciphertext, protected)
  cur:bytes(tree, f.tag, 16)
  if id == nil or number == nil then return "" end
  return string.format(" to %s, number %d, %d bytes protected", hex(id), number, protected)
end

-- Says why fields that were to be there are not.
local function explain_end(cur, tvb, tree)
  if cur.ok then return end
  if tvb:reported_len() > tvb:len() then
    tree:add_proto_expert_info(e.cut)
  else
    tree:add_proto_expert_info(e.malformed, "it ends before its last field")
  end
end

local function learn(pinfo, type)
  if type == 0xa0 or type == 0xa2 then servers[destination(pinfo)] = true end
  if type == 0xa1 or type == 0xa3 or type == 0xa4 then servers[source(pinfo)] = true end
end

function hawser.dissector(tvb, pinfo, root)
  local size = tvb:len()
  if size == 0 then return 0 end
  local type = tvb(0, 1):uint()
  local name = DATAGRAM_NAMES[type]
  if name == nil then
    if math.floor(type / 16) ~= 10 and math.floor(type / 16) ~= 11 then return netcode.dissector(tvb, pinfo, root) end
    name = "datagram of an unknown type"
  end
  pinfo.cols.protocol = "HAWSER"
  local tree = root:add(hawser, tvb(), "HAWSER 1, " .. name)
  tree:add(f.type, tvb(0, 1))
  tree:add(f.name, tvb(0, 1), name):set_generated()
  local cur = cursor(tvb, 1, size)
  local told = ""
  if type >= 0xb0 and DATAGRAM_NAMES[type] then
    tree:add(f.epoch_bits, tvb(0, 1))
    told = dissect_session_packet(cur, tree, pinfo)
  elseif dissect_datagram[type] then
    told = dissect_datagram[type](cur, tree)
    learn(pinfo, type)
  else
    tree:add_proto_expert_info(e.violation, "no datagram begins so")
  end
  local expected = DATAGRAM_SIZES[type]
  if expected ~= nil and tvb:reported_len() ~= expected then
    tree:add_proto_expert_info(e.malformed, string.format("it has %d bytes, not %d", tvb:reported_len(), expected))
  else
    explain_end(cur, tvb, tree)
  end
  pinfo.cols.info = name .. told
  return size
end

-- ---- Datagrams of netcode -------------------------------------------------------------------------------------------

local function dissect_netcode_request(cur, tree)
  cur:bytes(tree, n.version, 13)
  cur:uint64(tree, n.protocol_id)
  cur:uint64(tree, n.expire_time)
  cur:bytes(tree, n.nonce, 24)
  cur:bytes(tree, n.private, 1024)
end

-- The sequence number as text, for it may have any length up to 8 bytes.
local function add_netcode_sequence(cur, tree, bytes)
  local range = cur:take(bytes)
  if range == nil then return "" end
  local value = UInt64.new(0)
  for index = bytes - 1, 0, -1 do
    value = value * UInt64.new(256) + UInt64.new(range(index, 1):uint())
  end
  tree:add(n.sequence, range, value)
  return ", number " .. tostring(value)
end

function netcode.dissector(tvb, pinfo, root)
  local size = tvb:len()
  if size == 0 then return 0 end
  local prefix = tvb(0, 1):uint()
  local type = prefix % 16
  local bytes = math.floor(prefix / 16)
  local name = NETCODE_NAMES[type] or "packet of an unknown type"
  pinfo.cols.protocol = "NETCODE"
  local tree = root:add(netcode, tvb(), "netcode 1.02, " .. name)
  local item = tree:add(n.prefix, tvb(0, 1))
  item:add(n.type, tvb(0, 1))
  item:add(n.sequence_bytes, tvb(0, 1))
  tree:add(n.name, tvb(0, 1), name):set_generated()
  local cur = cursor(tvb, 1, size)
  local told = ""
  if prefix == 0 then
    dissect_netcode_request(cur, tree)
    if cur.ok then servers[destination(pinfo)] = true end
  elseif NETCODE_NAMES[type] == nil or type == 0 or bytes < 1 or bytes > 8 then
    tree:add_proto_expert_info(e.violation, "no packet begins so")
  else
    told = add_netcode_sequence(cur, tree, bytes)
    cur:bytes(tree, n.ciphertext, math.max(0, cur:left() - 16))
    cur:bytes(tree, n.tag, 16)
  end
  explain_end(cur, tvb, tree)
  pinfo.cols.info = "netcode " .. name .. told
  return size
end

-- ---- Frames -----------------------------------------------------------------------------------------------------------

-- Each takes what follows the type, and returns what to say of it in the list of packets; `pinfo` is not used by most.
local dissect_frame = {}

dissect_frame[0x01] = function(cur, tree)
  return " " .. tostring(cur:uint(tree, f.sequence, 2))
end

dissect_frame[0x02] = function(cur, tree)
  local sequence = cur:uint(tree, f.sequence, 2)
  cur:uint64(tree, f.receive_time)
  cur:uint(tree, f.delay, 4)
  return " " .. tostring(sequence)
end

local function dissect_ack(cur, tree)
  local largest, smallest = cur:varint(tree, f.ack_largest)
  cur:varint(tree, f.delay)
  local count = cur:varint(tree, f.ack_count)
  local first, exact = cur:varint(tree, f.ack_first)
  if not cur.ok then return "" end
  -- What goes below 0 leaves nil, once and for all.
  local function descend(by) smallest = smallest and by <= smallest and smallest - by or nil end
  descend(exact)
  -- Each range takes two bytes at least: what was announced beyond that is not there.
  for _ = 1, math.min(count, cur:left() + 1) do
    local _, gap = cur:varint(tree, f.ack_gap)
    local _, length = cur:varint(tree, f.ack_length)
    if not cur.ok then break end
    descend(gap + UInt64.new(2) + length)
  end
  require_that(tree, smallest ~= nil, "a range reaches below packet number 0")
  if first == 0 then return string.format(" %.0f", largest) end
  return string.format(" %.0f-%.0f", largest - first, largest)
end

dissect_frame[0x03] = dissect_ack

dissect_frame[0x04] = function(cur, tree)
  local told = dissect_ack(cur, tree)
  cur:varint(tree, f.ack_ect0)
  cur:varint(tree, f.ack_ect1)
  cur:varint(tree, f.ack_ce)
  return told
end

dissect_frame[0x05] = function(cur, tree)
  local code = cur:uint(tree, f.code, 4)
  cur:uint(tree, f.spread, 4)
  local length = cur:varint(tree, f.reason_length)
  if length ~= nil then
    require_that(tree, length <= LONGEST_REASON, "the reason is above 256 bytes")
    cur:bytes(tree, f.reason, length)
  end
  if code == nil then return "" end
  local name = DISCONNECT_CODES[code] or string.format("%d", code)
  tree:add_proto_expert_info(e.ending, "DISCONNECT " .. name)
  return " " .. name
end

dissect_frame[0x06] = function(cur, tree)
  cur:uint(tree, f.goaway_reason, 4)
  local deadline = cur:uint(tree, f.deadline, 4)
  cur:uint(tree, f.spread, 4)
  local has_address = cur:uint(tree, f.has_address, 1)
  if has_address ~= nil and has_address > 1 then cur.ok = false end
  if has_address == 1 then
    local kind = cur:uint(tree, f.address_kind, 1)
    if kind == 1 then
      cur:bytes(tree, f.ipv4, 4)
    elseif kind == 2 then
      cur:bytes(tree, f.ipv6, 16)
    else
      cur.ok = false
    end
    require_that(tree, cur:uint(tree, f.port, 2) ~= 0, "an invalid address")
  end
  return deadline == nil and "" or string.format(" within %d ms", deadline)
end

dissect_frame[0x07] = function(cur, tree)
  local sequence = cur:varint(tree, f.sequence)
  local length = cur:uint(tree, f.id_length, 1)
  if length ~= nil then
    require_that(tree, length >= 4 and length <= 16, "an id is 4 to 16 bytes")
    cur:bytes(tree, f.connection_id, length)
  end
  cur:bytes(tree, f.reset_token, 16)
  return sequence == nil and "" or string.format(" %.0f", sequence)
end

dissect_frame[0x08] = function(cur, tree)
  local sequence = cur:varint(tree, f.sequence)
  return sequence == nil and "" or string.format(" %.0f", sequence)
end

dissect_frame[0x09] = function(cur, tree)
  local epoch = cur:uint(tree, f.update_epoch, 4)
  cur:uint(tree, f.sequence, 4)
  cur:bytes(tree, f.share, 32)
  cur:bytes(tree, f.secret_id, 16)
  cur:bytes(tree, f.mac, 16)
  return epoch == nil and "" or string.format(" to epoch %d", epoch)
end

dissect_frame[0x0a] = function(cur, tree)
  local epoch = cur:uint(tree, f.update_epoch, 4)
  cur:bytes(tree, f.share, 32)
  cur:bytes(tree, f.mac, 16)
  return epoch == nil and "" or string.format(" to epoch %d", epoch)
end

dissect_frame[0x0b] = function(cur, tree)
  cur:uint(tree, f.sequence, 4)
  local reason = cur:uint(tree, f.refusal, 1)
  return reason == nil and "" or " " .. (REFUSAL_REASONS[reason] or tostring(reason))
end

local function dissect_path(cur, tree)
  cur:bytes(tree, f.path_data, 8)
  return ""
end

dissect_frame[0x0c] = dissect_path
dissect_frame[0x0d] = dissect_path

dissect_frame[0x0e] = function(cur, tree)
  local limit = cur:varint(tree, f.limit)
  return limit == nil and "" or string.format(" %.0f", limit)
end

dissect_frame[0x0f] = function(cur, tree)
  local channel = cur:channel(tree)
  local limit = cur:varint(tree, f.limit)
  local ahead = cur:varint(tree, f.ahead)
  return ahead == nil and "" or string.format(" channel %.0f: %.0f, %.0f ahead", channel, limit, ahead)
end

-- `sized`: the length is told; otherwise the data go on to the end of the packet. Returns how many there are.
local function add_data(cur, tree, sized)
  local length = cur:left()
  if sized then length = cur:varint(tree, f.length) end
  if length == nil then return 0 end
  cur:bytes(tree, f.data, length)
  return length
end

local function dissect_message(with_channel, sized)
  return function(cur, tree)
    local channel = with_channel and cur:channel(tree) or 0
    local length = add_data(cur, tree, sized)
    if not cur.ok then return "" end
    return string.format(" channel %.0f, %.0f bytes", channel, length)
  end
end

for _, base_type in ipairs({ 0x10, 0x30 }) do
  dissect_frame[base_type] = dissect_message(false, false)
  dissect_frame[base_type + 1] = dissect_message(true, false)
  dissect_frame[base_type + 2] = dissect_message(false, true)
  dissect_frame[base_type + 3] = dissect_message(true, true)
end

local function dissect_numbered(part, sized)
  return function(cur, tree)
    local channel = cur:channel(tree)
    local number = cur:varint(tree, f.number)
    local total, offset = 0, 0
    if part then
      total = cur:message_length(tree, f.total)
      offset = cur:varint(tree, f.offset)
    end
    local length = add_data(cur, tree, sized)
    if not cur.ok then return "" end
    if part then
      require_that(tree, length > 0, "an empty part")
      require_that(tree, offset + length <= total, "a part beyond its message")
    end
    return string.format(" channel %.0f, message %.0f, %.0f bytes", channel, number, length)
  end
end

dissect_frame[0x14] = dissect_numbered(false, false)
dissect_frame[0x15] = dissect_numbered(true, false)
dissect_frame[0x16] = dissect_numbered(false, true)
dissect_frame[0x17] = dissect_numbered(true, true)
dissect_frame[0x1a] = dissect_numbered(true, false)
dissect_frame[0x1b] = dissect_numbered(true, true)

local function dissect_reliable(sized)
  return function(cur, tree)
    local channel = cur:channel(tree)
    local number, exact = cur:varint(tree, f.number)
    local size = cur:left()
    if sized then size = cur:varint(tree, f.size) end
    if not cur.ok or size > cur:left() then
      cur.ok = false
      return ""
    end
    local messages = cursor(cur.tvb, cur.at, cur.at + size)
    local count = 0
    while messages.ok and messages:left() > 0 do
      add_data(messages, tree, true)
      count = count + 1
    end
    if count == 0 or not messages.ok then cur.ok = false end
    cur.at = cur.at + size
    require_that(tree, UInt64.new(math.max(0, count - 1)) <= LARGEST_NUMBER - exact, "a number of 2^62")
    if count == 1 then return string.format(" channel %.0f, message %.0f", channel, number) end
    return string.format(" channel %.0f, messages %.0f-%.0f", channel, number, number + count - 1)
  end
end

dissect_frame[0x18] = dissect_reliable(false)
dissect_frame[0x19] = dissect_reliable(true)

dissect_frame[0x1c] = function(cur, tree)
  local channel = cur:channel(tree)
  local number = cur:varint(tree, f.number)
  cur:message_length(tree, f.length)
  if not cur.ok then return "" end
  return string.format(" channel %.0f, message %.0f", channel, number)
end

dissect_frame[0x20] = function() return "" end

local function skip_padding(cur)
  local from = cur.at
  while cur:left() > 0 and cur.tvb(cur.at, 1):uint() == 0 do cur.at = cur.at + 1 end
  return cur.at - from
end

local function dissect_padding(cur, tree)
  local from = cur.at
  local count = skip_padding(cur)
  local range = cur.tvb(from, count)
  local item = tree:add(f.frame, range)
  item:set_text(string.format("PADDING, %d bytes", count))
  item:add(f.frame_type, range(0, 1))
  item:add(f.frame_name, range(0, 1), "PADDING"):set_generated()
  item:add(f.padding, range, count)
  return "PADDING"
end

-- One frame; returns its line in the list of packets.
local function dissect_one(cur, tree)
  local from = cur.at
  local type = cur.tvb(from, 1):uint()
  if type == 0 then return dissect_padding(cur, tree) end
  local name = FRAME_NAMES[type]
  local item = tree:add(f.frame, cur.tvb(from, cur:left()))
  item:add(f.frame_type, cur:take(1))
  if name == nil then
    item:set_text(string.format("unknown frame 0x%02x", type))
    item:add_proto_expert_info(e.violation, "an unknown frame closes the connection with PROTOCOL_ERROR")
    cur.ok = false
    cur.unknown = true
    return string.format("unknown frame 0x%02x", type)
  end
  item:add(f.frame_name, cur.tvb(from, 1), name):set_generated()
  local told = name .. dissect_frame[type](cur, item)
  item:set_text(told)
  if cur.at > from then item:set_len(cur.at - from) end
  return told
end

local MOST_TOLD = 8

local function dissect_frames(cur, tvb, tree)
  local told = {}
  local count = 0
  while cur.ok and cur:left() > 0 do
    count = count + 1
    local line = dissect_one(cur, tree)
    if count <= MOST_TOLD then told[count] = line end
  end
  if count == 0 then tree:add_proto_expert_info(e.violation, "a packet without a frame") end
  if not cur.unknown then explain_end(cur, tvb, tree) end
  if count > MOST_TOLD then told[#told + 1] = string.format("%d more", count - MOST_TOLD) end
  return table.concat(told, ", ")
end

-- ---- Packets without their seal ---------------------------------------------------------------------------------------

local function dissect_plain_netcode(cur, tree, type)
  local name = NETCODE_NAMES[type] or "packet of an unknown type"
  tree:add(n.name, name):set_generated()
  if type == 2 or type == 3 then
    cur:uint64(tree, n.challenge_sequence)
    cur:bytes(tree, n.challenge_token, 300)
  elseif type == 4 then
    cur:uint(tree, n.client_index, 4)
    cur:uint(tree, n.max_clients, 4)
  elseif type == 5 then
    return string.format("%s, %d bytes", name, cur:rest(tree, n.data))
  end
  return name
end

-- The header of 16 bytes that src/gateway/capture/upper-pdu.ts writes.
function plain.dissector(tvb, pinfo, root)
  local size = tvb:len()
  pinfo.cols.protocol = "HAWSER"
  local tree = root:add(plain, tvb(), "Packet without its seal")
  local cur = cursor(tvb, 0, size)
  local version = cur:uint(tree, p.header_version, 1)
  local kind = cur:uint(tree, p.kind, 1)
  local direction = cur:uint(tree, f.direction, 1)
  local detail = cur:uint(tree, p.detail, 1)
  local epoch = cur:uint(tree, f.epoch, 4)
  local number = cur:uint64(tree, kind == 2 and n.sequence or f.packet_number)
  if number == nil then
    explain_end(cur, tvb, tree)
    return size
  end
  if version ~= 1 or (kind ~= 1 and kind ~= 2) or direction > 1 then
    tree:add_proto_expert_info(e.malformed, "not a header that this dissector knows")
    return size
  end
  if kind == 2 then
    pinfo.cols.protocol = "NETCODE"
    pinfo.cols.info = string.format("[%s] ", tostring(number)) .. dissect_plain_netcode(cur, tree, detail)
    explain_end(cur, tvb, tree)
    return size
  end
  if detail >= 4 and detail <= 16 then
    cur:bytes(tree, f.connection_id, detail)
    id_lengths[destination(pinfo)] = detail
    servers[direction == 0 and destination(pinfo) or source(pinfo)] = true
  else
    tree:add_proto_expert_info(e.malformed, "a connection id has 4 to 16 bytes")
  end
  local told = dissect_frames(cur, tvb, tree)
  pinfo.cols.info = string.format("[%s%s] ", tostring(number), epoch > 0 and string.format(", epoch %d", epoch) or "") .. told
  return size
end

-- ---- Recognising -----------------------------------------------------------------------------------------------------

local function begins_with(tvb, at, text)
  return tvb:len() >= at + #text and tvb(at, #text):raw() == text
end

-- Handshakes say themselves what they are; the rest is known by whom it goes to or comes from, or by the file it is in.
local function is_handshake(tvb, type)
  local size = tvb:reported_len()
  if type == 0xa0 or type == 0xa2 then return size == DATAGRAM_SIZES[type] and begins_with(tvb, 1, VERSION) end
  if type == 0x00 then return size == 1078 and begins_with(tvb, 1, NETCODE_VERSION) end
  return false
end

local function may_be_ours(tvb, type)
  local size = tvb:reported_len()
  if DATAGRAM_SIZES[type] then return size == DATAGRAM_SIZES[type] end
  if type == 0xa5 then return size >= 21 and size <= 33 end
  if DATAGRAM_NAMES[type] then return size >= 26 end
  local netcode_type = type % 16
  local bytes = math.floor(type / 16)
  return netcode_type >= 1 and netcode_type <= 6 and bytes >= 1 and bytes <= 8 and size >= 17 + bytes
end

local function heuristic(tvb, pinfo, root)
  if tvb:len() == 0 then return false end
  local type = tvb(0, 1):uint()
  local ours = is_handshake(tvb, type) or is_own_capture() or (may_be_ours(tvb, type) and is_known(pinfo))
  if not ours then return false end
  hawser.dissector(tvb, pinfo, root)
  return true
end

hawser:register_heuristic("udp", heuristic)

local udp_ports = DissectorTable.get("udp.port")
local registered = ""

function hawser.prefs_changed()
  if registered ~= "" then udp_ports:remove(registered, hawser) end
  registered = tostring(hawser.prefs.ports)
  if registered ~= "" then udp_ports:add(registered, hawser) end
end

-- For "Decode As".
udp_ports:add_for_decode_as(hawser)
