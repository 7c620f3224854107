//! What a workflow and its children use: something for each of their plugins.

use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::Id;
use bandstand_engine::event::{ChildPins, PluginPin};
use bandstand_store::Pins;
use serde::{Deserialize, Serialize};

/// Something for each plugin of a workflow, and of the workflows that it runs as children: bytes, or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses<T> {
    /// Of its own plugins.
    pub plugins: BTreeMap<Id, T>,
    /// Of its children.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<Id, Uses<T>>,
}

impl<T> Default for Uses<T> {
    fn default() -> Uses<T> {
        Uses { plugins: BTreeMap::new(), children: BTreeMap::new() }
    }
}

impl<T> From<BTreeMap<Id, T>> for Uses<T> {
    fn from(plugins: BTreeMap<Id, T>) -> Uses<T> {
        Uses { plugins, children: BTreeMap::new() }
    }
}

impl<T> Uses<T> {
    /// The same plugins with something else for each. The text is for people: the plugin, and of which child.
    ///
    /// # Errors
    /// The first that `map` gives.
    pub fn try_map<U, E>(&self, mut map: impl FnMut(&str, &T) -> Result<U, E>) -> Result<Uses<U>, E> {
        self.map_inside("", &mut map)
    }

    fn map_inside<U, E>(
        &self,
        place: &str,
        map: &mut impl FnMut(&str, &T) -> Result<U, E>,
    ) -> Result<Uses<U>, E> {
        let mut plugins = BTreeMap::new();
        for (id, value) in &self.plugins {
            plugins.insert(id.clone(), map(&format!("{place}{id}"), value)?);
        }
        let mut children = BTreeMap::new();
        for (id, child) in &self.children {
            children.insert(id.clone(), child.map_inside(&format!("{place}{id}/"), map)?);
        }
        Ok(Uses { plugins, children })
    }
}

impl Uses<String> {
    /// What a run uses, by digest.
    pub fn pinned(pins: &Pins) -> Uses<String> {
        fn of(plugins: &BTreeMap<Id, PluginPin>, children: &BTreeMap<Id, ChildPins>) -> Uses<String> {
            let pinned = |(id, pin): (&Id, &PluginPin)| (id.clone(), pin.digest.clone());
            let child = |(id, pins): (&Id, &ChildPins)| (id.clone(), of(&pins.plugins, &pins.children));
            Uses {
                plugins: plugins.iter().map(pinned).collect(),
                children: children.iter().map(child).collect(),
            }
        }
        of(&pins.plugins, &pins.children)
    }

    /// All digests, each once.
    pub fn digests(&self) -> BTreeSet<String> {
        let of_children = self.children.values().flat_map(Uses::digests);
        self.plugins.values().cloned().chain(of_children).collect()
    }

    /// As a run pins it.
    pub fn into_pins(self) -> ChildPins {
        ChildPins {
            plugins: self.plugins.into_iter().map(|(id, digest)| (id, PluginPin { digest })).collect(),
            children: self.children.into_iter().map(|(id, child)| (id, child.into_pins())).collect(),
        }
    }
}
