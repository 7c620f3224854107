;; A function of no agent: gives a text, and never comes back when the host has read it.
(data (i32.const 2048) "text")
(func (export "test:foreign/it#f") (param i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 2048))
  (i32.store (i32.const 1028) (i32.const 4))
  (i32.const 1024))
(func (export "cabi_post_test:foreign/it#f") (param i32)
  (loop $on (br $on)))
