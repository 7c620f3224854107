//! Workflows that stay in service: their plugins are kept, compiled and linked before the first run, and stay when no run
//! pins them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bandstand_engine::Graph;

use super::error::HostError;
use super::holder::Host;
use super::uses::Uses;
use crate::driver::Plugins;

impl Host {
    /// Makes a workflow ready to start: keeps the bytes of its plugins, compiles and links them. Returns their digests, for
    /// [`Deployed`](super::Deployed). Blocks. Who wants to start it later than within the next hour has to [hold](Host::hold) them.
    ///
    /// # Errors
    /// When a plugin cannot be kept, or may not run with its grants.
    pub fn link(&self, graph: &Graph, plugins: &Uses<Arc<[u8]>>) -> Result<Uses<String>, HostError> {
        let digests = self.keep(plugins)?;
        self.can_call(graph, &digests)?;
        Ok(digests)
    }

    /// Says which plugins are in service: their files stay, though no run may pin them, and so does their compiled code.
    /// Takes the place of what was said before.
    pub fn hold(&self, digests: BTreeSet<String>) {
        // Whoever deploys again and again would fill the memory otherwise. Runs that still need one load it again.
        if let Some(digests) = self.tidy().hold(digests) {
            self.plugins().unload_others(&digests);
        }
    }

    /// Keeps the bytes by their digests.
    pub(super) fn keep(&self, plugins: &Uses<Arc<[u8]>>) -> Result<Uses<String>, HostError> {
        plugins.try_map(|plugin, bytes| {
            let kept = Plugins::keep(self.data_dir(), bytes);
            kept.map_err(|source| HostError::Plugin { plugin: plugin.to_owned(), source })
        })
    }
}
