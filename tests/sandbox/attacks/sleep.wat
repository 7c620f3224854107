;; Waits for ever in a host call.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
(func $run (param $call i32) (result i32)
  (i32.store (i32.const 2048) (call $after (i64.const 0xffffffffffffffff)))
  (call $poll (i32.const 2048) (i32.const 1) (i32.const 6144))
  unreachable)
