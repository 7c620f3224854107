;; Waits for nothing, again and again.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func $run (param $call i32) (result i32)
  (local $timer i32)
  (local.set $timer (call $after (i64.const 0)))
  (loop $on (call $block (local.get $timer)) (br $on))
  unreachable)
