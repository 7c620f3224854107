;; Names its functions by what a terminal obeys, writes more of it to standard error, and crashes.
(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
  (func $write (param i32 i32 i32 i32)))
(data (i32.const 2048) "\1b[2J\1b[31mall is lost\0a\1b]0;owned\07")
(func $"\1b[2J\1b[31mfall" (param i32) (result i32)
  (i32.div_u (i32.const 1) (local.get 0)))
(func $run (param $call i32) (result i32)
  (call $write (call $stderr) (i32.const 2048) (i32.const 31) (i32.const 6144))
  (call $"\1b[2J\1b[31mfall" (i32.const 0)))
