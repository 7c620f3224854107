;; Answers, and never comes back when the host has read the answer.
(data (i32.const 2048) "{}")
(func (export "cabi_post_bandstand:agent/node@0.1.0#run") (param i32)
  (loop $on (br $on)))
(func $run (param $call i32) (result i32)
  (call $ok (i32.const 2048) (i32.const 2)))
