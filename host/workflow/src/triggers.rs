//! `triggers`: whether each can fire, and whether two have one address (`BW116`, `BW117`).

use crate::cron::{Cron, CronError, ZONE_DEFAULT};
use crate::diagnostic::Report;
use crate::outline::Outline;
use crate::yaml::Node;

/// Tells what is wrong with triggers as a whole.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>) {
    let triggers = outline.file.get("triggers").map(Node::items).unwrap_or_default();
    let mut addresses: Vec<&str> = Vec::new();
    for trigger in triggers {
        if let Some(cron) = trigger.get("cron") {
            check_cron(report, cron, trigger.get("zone"));
        }
        let Some((node, webhook)) = trigger.get("webhook").and_then(|node| Some((node, node.text()?))) else {
            continue;
        };
        if addresses.contains(&webhook) {
            let message = format!("another trigger of this file has the address `{webhook}` already");
            report.add("BW117", node.span, message, "give each `webhook` a name of its own");
        }
        addresses.push(webhook);
    }
}

fn check_cron(report: &mut Report<'_>, cron: &Node, zone: Option<&Node>) {
    // What is no text was told before.
    let Some(text) = cron.text() else { return };
    let named = match zone {
        Some(zone) => match zone.text() {
            Some(named) => named,
            None => return,
        },
        None => ZONE_DEFAULT,
    };
    let five = "five fields: minute, hour, day of the month, month, day of the week; `0 6 * * MON-FRI`";
    match Cron::new(text, named) {
        Ok(_) => {}
        Err(CronError::Zone(name)) => {
            let at = zone.unwrap_or(cron).span;
            let help = "a name of the IANA time zone database: `UTC`, `Europe/Berlin`, `America/New_York`";
            report.add("BW116", at, format!("there is no time zone `{name}`"), help);
        }
        Err(CronError::Never) => {
            report.add("BW116", cron.span, format!("`{text}` never comes: no date is like that"), five);
        }
        Err(CronError::Cron(problem)) => {
            report.add("BW116", cron.span, format!("`{text}` is no cron expression: {problem}"), five);
        }
    }
}
