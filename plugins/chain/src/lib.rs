//! Nothing: the tests of this crate run the agents one after the other, natively, as a workflow would.
