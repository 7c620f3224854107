;; Hands the host 20 MiB in one call.
(import "bandstand:agent/progress@0.1.0" "chunk" (func $chunk (param i32 i32)))
(func $run (param $call i32) (result i32)
  (drop (memory.grow (i32.const 321)))
  (call $chunk (i32.const 65536) (i32.const 20971520))
  unreachable)
