//! What lies round a workflow file: the project directory, `bandstand.toml`, the files it names, its plugins.
//! What the file means is `bandstand-workflow`'s business; what is done with it the host's.

pub mod builtin;
pub mod catalogue;
pub mod config;
pub mod contract;
pub mod directory;
pub mod find;
pub mod guest;
pub mod load;
pub mod manifest;
pub mod models;
pub mod notify;
pub mod permits;
pub mod plugin_toml;
pub mod reads;
pub mod server;
pub mod telemetry;
pub mod tools;
pub mod trial;

pub use config::Config;
pub use directory::Directory;
