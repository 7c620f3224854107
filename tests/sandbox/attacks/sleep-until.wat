;; Waits in a host call for the last moment that a clock can tell.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-instant" (func $at (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func $run (param $call i32) (result i32)
  (call $block (call $at (i64.const 0xffffffffffffffff)))
  unreachable)
