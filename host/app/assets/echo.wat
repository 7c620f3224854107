;; The builtin agent `echo`: its output is its input, with no confidence, leaving by the edges of the file.
;; The canonical ABI by hand, so that no language runtime comes with the host. `tests/builtin.rs` wraps it up.
(module
  (memory (export "memory") 1)

  ;; The host asks for room for the call and the texts in it; nothing is ever given back, since an instance
  ;; serves one call. The first page's start holds the reply.
  (global $free (mut i32) (i32.const 64))
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
    (result i32)
    (local $at i32)
    (local $missing i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    ;; Whole pages that are missing.
    (local.set $missing
      (i32.sub
        (i32.shr_u (i32.add (global.get $free) (i32.const 65535)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1))
          (then unreachable))))
    (local.get $at))

  ;; `call` arrives in memory: run-id 0, thread-id 8, user-id 20, workflow 32, node 40, visit 48, attempt 52,
  ;; attempts-max 56, idempotency-key 60, started-at 68, timeout-ms 76, seed 80, input 84 (address, length), context 92.
  ;; The reply at 0: tag of the result 0 (ok), output 8, confidence 16 (none), next 32 (edges).
  (func (export "bandstand:agent/node@0.1.0#run") (param $call i32) (result i32)
    (i32.store (i32.const 8) (i32.load offset=84 (local.get $call)))
    (i32.store (i32.const 12) (i32.load offset=88 (local.get $call)))
    (i32.const 0)))
