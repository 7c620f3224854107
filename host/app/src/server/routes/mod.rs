//! The routes, one file for each resource. Each handler says by its first argument for which role it is.

pub mod health;
pub mod hooks;
pub mod memory;
pub mod notifications;
pub mod plugins;
pub mod reviews;
pub mod routing;
pub mod runs;
pub mod runs_control;
pub mod schedules;
pub mod socket;
pub mod streams;
pub mod threads;
pub mod workflows;
