//! Where calls of quarantined plugins wait: beside the gate's queues, so that they are in nobody's way and cost no look.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::CommandId;

use crate::RunId;
use crate::gate::Ticket;

/// Calls that wait for their plugin to be in service again: by plugin, and there in order.
#[derive(Debug, Default)]
pub(crate) struct Ward {
    tickets: BTreeMap<(Arc<str>, i64), Ticket>,
    places: BTreeMap<(RunId, CommandId), (Arc<str>, i64)>,
    first: i64,
    last: i64,
}

impl Ward {
    pub(crate) fn put(&mut self, ticket: Ticket, in_front: bool) {
        let turn = if in_front {
            self.first -= 1;
            self.first
        } else {
            self.last += 1;
            self.last
        };
        let place = (ticket.plugin.clone(), turn);
        self.places.insert((ticket.run_id.clone(), ticket.command.id.clone()), place.clone());
        self.tickets.insert(place, ticket);
    }

    /// Takes that call out.
    pub(crate) fn take(&mut self, run_id: &RunId, id: &CommandId) -> Option<Ticket> {
        let place = self.places.remove(&(run_id.clone(), id.clone()))?;
        self.tickets.remove(&place)
    }

    /// Takes the call of that plugin out that has waited longest.
    pub(crate) fn take_first(&mut self, plugin: &Arc<str>) -> Option<Ticket> {
        let first =
            self.of(plugin).next().map(|ticket| (ticket.run_id.clone(), ticket.command.id.clone()))?;
        self.take(&first.0, &first.1)
    }

    /// The calls of that plugin, in order.
    pub(crate) fn of(&self, plugin: &Arc<str>) -> impl Iterator<Item = &Ticket> {
        let places = (plugin.clone(), i64::MIN)..=(plugin.clone(), i64::MAX);
        self.tickets.range(places).map(|(_, ticket)| ticket)
    }

    /// The plugin for which that call waits here.
    pub(crate) fn plugin_of(&self, run_id: &RunId, id: &CommandId) -> Option<&Arc<str>> {
        self.places.get(&(run_id.clone(), id.clone())).map(|(plugin, _)| plugin)
    }

    pub(crate) fn len(&self) -> usize {
        self.tickets.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Whether a call of that plugin waits here.
    pub(crate) fn holds(&self, plugin: &Arc<str>) -> bool {
        self.of(plugin).next().is_some()
    }
}
