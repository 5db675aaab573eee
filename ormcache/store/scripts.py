"""The protocol's steps as Lua, one key each, so that they also run on a cluster.

Each is idempotent and safe when it arrives late or twice. The cell formats are described in
``ormcache.cells``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest by which Redis knows it."""

    text: bytes
    sha: bytes


def _script(text: str) -> Script:
    raw = text.strip().encode()
    return Script(raw, hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode())


# Redis 7 and newer: a full server takes these all the same. Marks are small and short-lived, and
# without them it would go on answering reads with values that a write could not invalidate.
_EVEN_IF_FULL = b"#!lua flags=allow-oom\n"


# ARGV: what was observed (empty: nothing), lease, px. A value that no reader can use any more is
# replaced only if it is still the one observed; marks and other leases are left alone. Returns the
# time of the grant, which ends the lease, or 0: were a lease that arrives twice the same lease,
# the second, after a write, would admit the fill that the write has refused.
LEASE = _script("""
local seen = ARGV[1]
if seen == '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
elseif redis.call('GETRANGE', KEYS[1], 0, #seen - 1) ~= seen then return 0 end
local t = redis.call('TIME')
local granted = string.format('%016d', t[1] * 1000000 + t[2])
redis.call('SET', KEYS[1], ARGV[2] .. granted, 'PX', ARGV[3])
return granted
""")

# ARGV: lease, value, px (0: for ever). Only the exact lease admits the fill.
FILL = _script("""
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")

# ARGV: fresh stamp, px. Returns the cell as it is now; a stamp then lives that long at least. Of a
# fresh stamp's nonce the first four bytes become the server's time: were a stamp that arrives
# twice the same stamp, the second, after a write, would bring back every list that the write has
# made useless. A mark keeps its own, short expiry: prolonging it would keep a killed writer's
# table uncached for hours. What is neither stamp nor mark is replaced: a fresh stamp only ever
# invalidates.
STAMP = _script("""
local cell = redis.pcall('GET', KEYS[1])
local kind = type(cell) == 'string' and string.sub(cell, 1, 1)
if kind ~= 'S' and kind ~= 'W' then
  local t = redis.call('TIME')
  local us = t[1] * 1000000 + t[2]
  local time = ''
  for i = 1, 4 do
    time = string.char(us % 256) .. time
    us = math.floor(us / 256)
  end
  cell = string.sub(ARGV[1], 1, -9) .. time .. string.sub(ARGV[1], -4)
  redis.call('SET', KEYS[1], cell, 'PX', ARGV[2])
elseif kind == 'S' and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return cell
""")

# ARGV: token, ttl in ms. Returns the value that was dropped, or nothing.
MARK = _script("""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ttl = tonumber(ARGV[2])
local out = 'W' .. ARGV[1] .. string.format('%013d', now + ttl)
local cell = redis.pcall('GET', KEYS[1])
local old = false
if type(cell) == 'string' then
  local kind = string.sub(cell, 1, 1)
  if kind == 'V' then old = cell
  elseif kind == 'W' then
    for i = 2, #cell, 29 do
      local ends = tonumber(string.sub(cell, i + 16, i + 28))
      if ends > now and string.sub(cell, i, i + 15) ~= ARGV[1] then
        out = out .. string.sub(cell, i, i + 28)
        ttl = math.max(ttl, ends - now)
      end
    end
  end
end
redis.call('SET', KEYS[1], out, 'PX', ttl)
return old
""")

# ARGV: token. A cell that is no mark any more lost this writer's mark: whatever came in is
# deleted, because it may have been filled from before the commit.
RELEASE = _script("""
local cell = redis.pcall('GET', KEYS[1])
local out, found = 'W', 0
if type(cell) ~= 'string' or string.sub(cell, 1, 1) ~= 'W' then
  redis.call('DEL', KEYS[1])
  cell = ''
end
for i = 2, #cell, 29 do
  if string.sub(cell, i, i + 15) == ARGV[1] then found = 1
  else out = out .. string.sub(cell, i, i + 28) end
end
if cell ~= '' then
  if #out == 1 then redis.call('DEL', KEYS[1])
  else redis.call('SET', KEYS[1], out, 'KEEPTTL') end
end
return found
""")

# ARGV: entry key, its expiry (ms, Unix), now (ms), most members, px. Keeps one reverse dependency
# and drops those whose entry has expired, so the set cannot grow without end.
HOLD = _script("""
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[4]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return 1
""")

# ARGV: 1 to unlink, 0 only to look. Gives memory back; returns 0 for a key that stays. A mark
# stays, without it a reader could fill the row that its writer is about to replace; and a lease.
# Checked and unlinked in one step, or a mark could come in between.
RECLAIM = _script("""
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'string' then
  local state = redis.call('GETRANGE', KEYS[1], 0, 0)
  if state == 'W' or state == 'L' then return 0 end
elseif kind ~= 'zset' and kind ~= 'list' then return 0 end
if ARGV[1] == '1' then redis.call('UNLINK', KEYS[1]) end
return 1
""")

PLAIN: dict[str, Script] = {
    "LEASE": LEASE,
    "FILL": FILL,
    "STAMP": STAMP,
    "MARK": MARK,
    "RELEASE": RELEASE,
    "HOLD": HOLD,
    "RECLAIM": RECLAIM,
}

WITH_FLAGS = PLAIN | {
    name: _script((_EVEN_IF_FULL + PLAIN[name].text).decode()) for name in ("MARK", "RELEASE")
}


def scripts_for(version: str) -> dict[str, Script]:
    """The scripts by the names commands use, for a server that says it has this version."""
    major = version.partition(".")[0]
    return WITH_FLAGS if major.isdecimal() and int(major) >= 7 else PLAIN
