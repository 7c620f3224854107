;; Waits for one timer a million times over in one call.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
(func $run (param $call i32) (result i32)
  (local $i i32) (local $timer i32)
  (drop (memory.grow (i32.const 64)))
  (local.set $timer (call $after (i64.const 1000000000000)))
  (loop $on
    (i32.store offset=65536 (i32.shl (local.get $i) (i32.const 2)) (local.get $timer))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $on (i32.lt_u (local.get $i) (i32.const 1000000))))
  (call $poll (i32.const 65536) (i32.const 1000000) (i32.const 6144))
  unreachable)
