//! Counts what the instance of one attempt holds, and what all instances hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::{ResourceLimiter, Result};

/// Core modules in one component: toolchains that bundle a language runtime (Python's, C#'s) need dozens.
pub(crate) const CORE_INSTANCES_MAX: u32 = 200;
/// Linear memories in one component.
pub(crate) const MEMORIES_MAX: u32 = 8;
/// Tables in one component.
pub(crate) const TABLES_MAX: u32 = 64;

/// Linear memory of all instances together.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    in_use_bytes: AtomicUsize,
    bytes_max: usize,
}

impl MemoryBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { in_use_bytes: AtomicUsize::new(0), bytes_max }
    }

    pub(crate) fn in_use_bytes(&self) -> usize {
        self.in_use_bytes.load(Ordering::Relaxed)
    }

    fn charge(&self, bytes: usize) -> bool {
        self.in_use_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
            })
            .is_ok()
    }
}

/// What was refused first, if anything: a guest seldom survives it, and its own last words rarely tell why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The attempt's own limit.
    Memory,
    /// The host's budget for all attempts.
    HostMemory,
    /// The attempt's limit of table elements.
    Table,
}

/// Sums over all memories and all tables of one store, which wasmtime's own limiter does not.
pub(crate) struct Limiter {
    budget: Arc<MemoryBudget>,
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    /// What the host sets aside for what the guest hands over. Bytes.
    reserved_bytes: usize,
    pub(crate) refusal: Option<Refusal>,
}

impl Limiter {
    pub(crate) fn new(budget: Arc<MemoryBudget>, memory_bytes_max: usize, table_elements_max: usize) -> Self {
        Self {
            budget,
            memory_bytes: 0,
            memory_bytes_max,
            table_elements: 0,
            table_elements_max,
            reserved_bytes: 0,
            refusal: None,
        }
    }

    /// Memories never shrink, so what is held now is also the most that was held. Bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Counts bytes of the host's own towards what all instances may hold together, until the attempt ends. `false`: there is
    /// no room for them.
    pub(crate) fn reserve(&mut self, bytes: usize) -> bool {
        let is_there = self.budget.charge(bytes);
        if is_there {
            self.reserved_bytes += bytes;
        }
        is_there
    }

    /// What all instances may hold together. Bytes.
    pub(crate) fn budget_bytes_max(&self) -> usize {
        self.budget.bytes_max
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<bool> {
        self.refusal.get_or_insert(refusal);
        Ok(false)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        if self.memory_bytes.saturating_add(more) > self.memory_bytes_max {
            return self.refuse(Refusal::Memory);
        }
        // Charged before the growth happens. If it then fails the charge stays until the store is dropped, which is
        // soon: refunding would need to know whether this or another refusal was reported.
        if !self.budget.charge(more) {
            return self.refuse(Refusal::HostMemory);
        }
        self.memory_bytes += more;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        if self.table_elements.saturating_add(more) > self.table_elements_max {
            return self.refuse(Refusal::Table);
        }
        self.table_elements += more;
        Ok(true)
    }

    fn instances(&self) -> usize {
        // The component itself counts as one.
        CORE_INSTANCES_MAX as usize + 1
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.in_use_bytes.fetch_sub(self.memory_bytes + self.reserved_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_and_given_back() {
        let budget = Arc::new(MemoryBudget::new(250));
        let mut one = Limiter::new(budget.clone(), 100, 10);
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!one.memory_growing(0, 60, None).unwrap(), "a second memory counts towards the same limit");
        assert_eq!(one.refusal, Some(Refusal::Memory));
        assert!(one.memory_growing(60, 100, None).unwrap());
        let mut other = Limiter::new(budget.clone(), 200, 10);
        assert!(!other.memory_growing(0, 151, None).unwrap());
        assert_eq!(other.refusal, Some(Refusal::HostMemory));
        assert!(other.memory_growing(0, 140, None).unwrap());
        assert!(!other.reserve(11) && other.reserve(10));
        assert_eq!((budget.in_use_bytes(), other.memory_bytes()), (250, 140));
        drop((one, other));
        assert_eq!(budget.in_use_bytes(), 0);
    }
}
