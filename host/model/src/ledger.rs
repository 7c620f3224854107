//! What a run may spend: a budget, and what is spent and under way in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bandstand_sandbox::{BUDGET_CODE, PowerError, PowerErrorKind};

/// More runs than this are not remembered once none of their attempts goes on: the journal knows what they spent.
const RUNS_KEPT: usize = 1_024;

/// What each run may spend; `None`: as much as it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Read and written together.
    pub tokens: Option<u64>,
    /// Millionths of the operator's currency.
    pub cost_micros: Option<u64>,
}

/// An amount of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Read and written together.
    pub tokens: u64,
    /// Millionths of the operator's currency.
    pub cost_micros: u64,
}

impl Spent {
    fn plus(self, other: Spent) -> Spent {
        Spent {
            tokens: self.tokens.saturating_add(other.tokens),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
        }
    }

    fn minus(self, other: Spent) -> Spent {
        Spent {
            tokens: self.tokens.saturating_sub(other.tokens),
            cost_micros: self.cost_micros.saturating_sub(other.cost_micros),
        }
    }
}

/// The books of all runs that go on in this process.
#[derive(Debug, Default)]
pub(crate) struct Ledgers(Mutex<HashMap<String, Arc<Ledger>>>);

/// The books of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    spent: Spent,
    under_way: Spent,
}

impl Ledgers {
    /// The books of a run, of which the journal says that so much was spent.
    pub(crate) fn of(&self, run_id: &str, journaled: Spent) -> Arc<Ledger> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() > RUNS_KEPT {
            all.retain(|_, ledger| Arc::strong_count(ledger) > 1);
        }
        let ledger = all.entry(run_id.to_owned()).or_default().clone();
        let mut books = ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What this process saw is in the journal later; what it did not see is there already.
        books.spent.tokens = books.spent.tokens.max(journaled.tokens);
        books.spent.cost_micros = books.spent.cost_micros.max(journaled.cost_micros);
        drop(books);
        ledger
    }
}

impl Ledger {
    /// Opens a call that will take about `estimate`, if the budget has room for it.
    pub(crate) fn open(&self, estimate: Spent, budget: Budget) -> Result<(), PowerError> {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = books.spent.plus(books.under_way);
        let after = before.plus(estimate);
        let over = |limit: Option<u64>, after: u64| limit.filter(|limit| after > *limit);
        let problem = if let Some(limit) = over(budget.tokens, after.tokens) {
            format!(
                "the run may use {limit} tokens: {} are spent or under way, and this call reads about {} more (setting \
                 budget.tokens in bandstand.toml)",
                before.tokens, estimate.tokens
            )
        } else if let Some(limit) = over(budget.cost_micros, after.cost_micros) {
            format!(
                "the run may cost {}: {} are spent or under way, and this call costs {} more at least (setting \
                 budget.cost in bandstand.toml)",
                money(limit),
                money(before.cost_micros),
                money(estimate.cost_micros)
            )
        } else {
            books.under_way = books.under_way.plus(estimate);
            return Ok(());
        };
        Err(PowerError::new(PowerErrorKind::Limit, BUDGET_CODE, problem))
    }

    /// Closes a call that was opened with `estimate` and took `took`.
    pub(crate) fn close(&self, estimate: Spent, took: Spent) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        books.under_way = books.under_way.minus(estimate);
        books.spent = books.spent.plus(took);
    }
}

/// `1.234500` as `1.2345`; two digits at least.
fn money(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let short = text.trim_end_matches('0');
    let digits = short.len() - short.find('.').unwrap_or(0) - 1;
    format!("{short}{}", "0".repeat(2_usize.saturating_sub(digits)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tokens(tokens: u64) -> Spent {
        Spent { tokens, cost_micros: 0 }
    }

    // R7.6
    #[test]
    fn a_budget_counts_what_is_journaled_spent_and_under_way() {
        let budget = Budget { tokens: Some(100), cost_micros: None };
        let ledgers = Ledgers::default();
        let ledger = ledgers.of("run-1", tokens(50));
        ledger.open(tokens(30), budget).unwrap();
        let error = ledger.open(tokens(21), budget).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Limit, "budget"));
        assert!(error.message.contains("100 tokens: 80 are spent or under way"), "{}", error.message);
        assert!(error.message.contains("budget.tokens"), "{}", error.message);
        ledger.close(tokens(30), tokens(10));
        // The journal is behind: what was seen counts.
        let ledger = ledgers.of("run-1", tokens(50));
        ledger.open(tokens(40), budget).unwrap();
        assert!(ledger.open(tokens(1), budget).is_err());
        ledgers.of("run-2", tokens(0)).open(tokens(100), budget).unwrap();
    }

    #[test]
    fn a_budget_of_money_names_itself() {
        let budget = Budget { tokens: None, cost_micros: Some(5_000_000) };
        let ledger = Ledgers::default().of("run-1", Spent { tokens: 1, cost_micros: 4_999_000 });
        let error = ledger.open(Spent { tokens: 1, cost_micros: 1_001 }, budget).unwrap_err();
        assert!(error.message.starts_with("the run may cost 5.00: 4.999 are spent"), "{}", error.message);
        assert_eq!(money(1), "0.000001");
    }
}
