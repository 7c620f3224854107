;; Takes memory until it is refused, then crashes as allocators do.
(func $run (param $call i32) (result i32)
  (loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  unreachable)
