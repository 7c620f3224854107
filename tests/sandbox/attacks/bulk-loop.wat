;; Fills 32 MiB again and again: one instruction that takes long, in which nobody looks at the clock.
(func $run (param $call i32) (result i32)
  (drop (memory.grow (i32.const 512)))
  (loop $on
    (memory.fill (i32.const 65536) (i32.const 1) (i32.const 33488896))
    (br $on))
  unreachable)
