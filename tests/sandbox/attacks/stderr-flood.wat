;; Writes to standard error for ever, which nobody counts but the clock.
(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
  (func $write (param i32 i32 i32 i32)))
(func $run (param $call i32) (result i32)
  (local $stderr i32)
  (local.set $stderr (call $stderr))
  (memory.fill (i32.const 8192) (i32.const 0x78) (i32.const 4096))
  (loop $on
    (call $write (local.get $stderr) (i32.const 8192) (i32.const 4096) (i32.const 6144))
    (br $on))
  unreachable)
