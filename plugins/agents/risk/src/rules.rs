//! The points of a score: each with its reason and what in the text gave it. Weights are judgement, written down here
//! so that they can be argued about; they are no legal advice.

use serde::Serialize;

use super::{Classification, Finding, Input, Obligations, Purpose, round};

/// One reason for the score.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    pub(crate) rule: &'static str,
    pub(crate) title: String,
    pub(crate) points: f64,
    pub(crate) explanation: String,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) confidence: f64,
}

/// Where in the text it says so.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Evidence {
    quote: String,
    clause: String,
    start: usize,
    end: usize,
}

/// What sets a rule off, that is, on which use its weight depends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// Whatever the use.
    Always,
    /// Giving the work to others.
    Distribution,
    /// Serving it over a network.
    Network,
}

impl Trigger {
    fn share(self, purpose: Purpose) -> f64 {
        match (self, purpose) {
            (Trigger::Always, _) | (Trigger::Distribution, Purpose::Distribute) => 1.0,
            (Trigger::Distribution, Purpose::Link) => 0.8,
            (Trigger::Distribution, Purpose::Saas) => 0.3,
            (Trigger::Distribution, Purpose::Internal) => 0.15,
            (Trigger::Network, Purpose::Saas) => 1.0,
            (Trigger::Network, _) => 0.3,
        }
    }
}

/// In which findings a rule looks.
#[derive(Clone, Copy)]
enum Among {
    Any,
    Duties,
    Bans,
    Disclaimers,
    DutiesAndGrants,
}

struct Rule {
    id: &'static str,
    title: &'static str,
    points: f64,
    trigger: Trigger,
    among: Among,
    /// One of these ...
    any: &'static [&'static str],
    /// ... and, unless empty, one of these must be in the quote.
    with: &'static [&'static str],
    /// None of these: another rule counts them.
    not: &'static [&'static str],
    explanation: &'static str,
}

const RULES: [Rule; 12] = [
    Rule {
        id: "source-duty",
        title: "Source code must be handed over",
        points: 12.0,
        trigger: Trigger::Distribution,
        among: Among::DutiesAndGrants,
        any: &[
            "corresponding source",
            "source code form",
            "source available",
            "copy of the source",
            "the source code",
        ],
        with: &["must", "shall", "provided", "accompan", "convey", "available"],
        not: &[],
        explanation: "Whoever gets the program must get its source as well, which takes a way to deliver it for years.",
    },
    Rule {
        id: "same-licence",
        title: "Derived work falls under the same terms",
        points: 12.0,
        trigger: Trigger::Distribution,
        among: Among::Duties,
        any: &[
            "under this license",
            "under the terms of this license",
            "under these terms",
            "terms of this license",
        ],
        with: &[
            "license the entire",
            "must be under",
            "under this license to",
            "must license",
            "available to the recipients",
            "modifications",
            "modified",
        ],
        not: &[],
        explanation: "What is made from it has to be passed on under these terms; how much own code that draws in is to be checked.",
    },
    Rule {
        id: "network-duty",
        title: "Users over a network have rights, too",
        points: 25.0,
        trigger: Trigger::Network,
        among: Among::Any,
        any: &["remotely through a computer network", "remote network interaction"],
        with: &["must", "offer", "shall"],
        not: &[],
        explanation: "Serving a changed version counts like handing it over: its source must be offered to all users.",
    },
    Rule {
        id: "notices",
        title: "Notices must be kept",
        points: 4.0,
        trigger: Trigger::Distribution,
        among: Among::Duties,
        any: &["notice", "copyright", "disclaimer", "copy of this license", "attribution"],
        with: &[],
        not: &[],
        explanation: "Copyright and licence texts have to travel with every copy. Easy, if a build does it.",
    },
    Rule {
        id: "state-changes",
        title: "Changes must be marked",
        points: 3.0,
        trigger: Trigger::Distribution,
        among: Among::Duties,
        any: &["modified", "changed", "modification", "altered"],
        with: &["notice", "stating", "marked", "carry", "prominent"],
        not: &[],
        explanation: "Changed files have to say that they were changed, and sometimes when.",
    },
    Rule {
        id: "installation",
        title: "Devices must accept changed versions",
        points: 6.0,
        trigger: Trigger::Distribution,
        among: Among::Any,
        any: &["installation information", "user product"],
        with: &[],
        not: &[],
        explanation: "Consumer devices with this inside may not lock their owners out: keys or methods have to be given.",
    },
    Rule {
        id: "patent-retaliation",
        title: "Patent suits end the rights",
        points: 5.0,
        trigger: Trigger::Always,
        among: Among::Any,
        any: &["patent"],
        with: &["litigation", "terminate", "infringement claim", "patent claim"],
        not: &[],
        explanation: "Whoever sues over patents in the work loses rights to it. This concerns the whole company.",
    },
    Rule {
        id: "termination",
        title: "Rights end with a breach",
        points: 5.0,
        trigger: Trigger::Always,
        among: Among::Any,
        any: &["terminate", "termination", "void"],
        with: &["rights", "license", "licence", "terms", "agreement"],
        not: &["litigation"],
        explanation: "A breach ends the permission, at once or after a term: find and cure mistakes early.",
    },
    Rule {
        id: "use-restricted",
        title: "Use is restricted",
        points: 16.0,
        trigger: Trigger::Always,
        among: Among::Bans,
        any: &["reverse engineer", "decompile", "rent", "lease", "sublicense", "distribute", "transfer"],
        with: &["shall not", "may not", "must not", "prohibited", "not permitted"],
        not: &[],
        explanation: "Things that free licences allow are forbidden here: check that the plan needs none of them.",
    },
    Rule {
        id: "money",
        title: "It costs money or control",
        points: 9.0,
        trigger: Trigger::Always,
        among: Among::DutiesAndGrants,
        any: &["pay", "yearly fee", "license fee", "invoice", "royalties", "audit"],
        with: &["must", "shall", "may audit"],
        not: &[],
        explanation: "Fees or inspections are agreed to. Someone has to own the budget and the dates.",
    },
    Rule {
        id: "names",
        title: "Names and marks are off limits",
        points: 2.0,
        trigger: Trigger::Always,
        among: Among::Bans,
        any: &["trademark", "trade name", "name of", "names of", "endorse", "product names"],
        with: &[],
        not: &[],
        explanation: "The authors' names and marks may not be used to advertise.",
    },
    Rule {
        id: "no-warranty",
        title: "Nobody answers for it",
        points: 4.0,
        trigger: Trigger::Always,
        among: Among::Disclaimers,
        any: &["warrant", "liab", "damages", "as is"],
        with: &[],
        not: &[],
        explanation: "Defects are the user's own matter: there is no one to claim from.",
    },
];

/// All points, heaviest first.
pub(crate) fn points(input: &Input) -> Vec<Point> {
    let mut points = Vec::new();
    match &input.classification {
        Some(classification) => points.extend(family(classification, input.purpose)),
        None => points.push(not_read("The kind of licence", 15.0)),
    }
    match &input.obligations {
        Some(found) => {
            let weak = input.classification.as_ref().is_some_and(|one| one.family == "weak_copyleft");
            points.extend(RULES.iter().filter_map(|rule| apply(rule, found, input.purpose, weak)));
        }
        None => points.push(not_read("Duties and bans", 15.0)),
    }
    points.extend(input.obligations.as_ref().and_then(|found| patents(found, input)));
    points.extend(input.definitions.as_ref().and_then(|found| unresolved(&found.unresolved)));
    points.sort_by(|a, b| b.points.total_cmp(&a.points));
    points
}

/// How sure the classification is of its first option.
pub(crate) fn sureness(classification: &Classification) -> f64 {
    let best = classification
        .options
        .iter()
        .map(|option| option.confidence)
        .fold(None, |best: Option<f64>, one| Some(best.map_or(one, |best| best.max(one))));
    classification.confidence.or(best).unwrap_or(0.5)
}

fn family(classification: &Classification, purpose: Purpose) -> Option<Point> {
    let (weight, trigger, text) = match classification.family.as_str() {
        "strong_copyleft" => (
            30.0,
            Trigger::Distribution,
            "The whole of what is built with it has to be given on under the same terms.",
        ),
        "weak_copyleft" => (
            14.0,
            Trigger::Distribution,
            "Its own files or library stay under these terms; what uses them need not follow.",
        ),
        "proprietary" => {
            (24.0, Trigger::Always, "It is not free: what is not expressly allowed is forbidden.")
        }
        "permissive" => return None,
        _ => (
            20.0,
            Trigger::Always,
            "It is none of the usual kinds, or too little of it was recognised: a lawyer should read it.",
        ),
    };
    let sure = sureness(classification);
    let linked = classification.family == "weak_copyleft" && purpose == Purpose::Link;
    let share = trigger.share(purpose) * if linked { 0.6 } else { 1.0 };
    let name =
        classification.licence.as_ref().map_or_else(|| "the text".to_owned(), |licence| licence.name.clone());
    Some(Point {
        rule: "family",
        title: format!("Kind: {}", classification.family.replace('_', " ")),
        points: round(weight * share),
        explanation: format!("{text} Recognised from {name}, {:.0} % sure.", sure * 100.0),
        evidence: Vec::new(),
        confidence: round(sure),
    })
}

fn apply(rule: &Rule, found: &Obligations, purpose: Purpose, weak_copyleft: bool) -> Option<Point> {
    let hits: Vec<&Finding> = among(rule.among, found)
        .into_iter()
        .filter(|finding| {
            let quote = finding.quote.to_lowercase();
            let has = |words: &[&str]| words.iter().any(|word| quote.contains(word));
            has(rule.any) && (rule.with.is_empty() || has(rule.with)) && !has(rule.not)
        })
        .collect();
    let best = hits.iter().map(|finding| finding.confidence).fold(0.0, f64::max);
    // Where only changed files follow, own code stays out of it.
    let reach = if weak_copyleft && rule.id == "same-licence" { 0.5 } else { 1.0 };
    let points = round(rule.points * rule.trigger.share(purpose) * reach);
    let evidence = hits.iter().take(3).map(|finding| Evidence {
        quote: finding.quote.clone(),
        clause: finding.clause.clone(),
        start: finding.start,
        end: finding.end,
    });
    (!hits.is_empty() && points > 0.0).then(|| Point {
        rule: rule.id,
        title: rule.title.to_owned(),
        points,
        explanation: rule.explanation.to_owned(),
        evidence: evidence.collect(),
        confidence: round(best),
    })
}

fn among(among: Among, found: &Obligations) -> Vec<&Finding> {
    let lists: &[&Vec<Finding>] = match among {
        Among::Any => &[&found.obligations, &found.permissions, &found.prohibitions, &found.disclaimers],
        Among::Duties => &[&found.obligations],
        Among::Bans => &[&found.prohibitions],
        Among::Disclaimers => &[&found.disclaimers],
        Among::DutiesAndGrants => &[&found.obligations, &found.permissions],
    };
    lists.iter().flat_map(|list| list.iter()).collect()
}

/// A grant that is silent on patents leaves them open.
fn patents(found: &Obligations, input: &Input) -> Option<Point> {
    let mentioned =
        among(Among::Any, found).iter().any(|finding| finding.quote.to_lowercase().contains("patent"));
    let free = input.classification.as_ref().is_none_or(|one| one.family != "proprietary");
    let sure: f64 = found.permissions.iter().map(|finding| finding.confidence).fold(0.0, f64::max);
    (!mentioned && free && !found.permissions.is_empty()).then(|| Point {
        rule: "no-patent-grant",
        title: "Patents are not mentioned".to_owned(),
        points: 5.0,
        explanation:
            "The permission says nothing of patents, so the authors' own patents are not clearly licensed."
                .to_owned(),
        evidence: Vec::new(),
        confidence: round(sure * 0.8),
    })
}

fn unresolved(targets: &[String]) -> Option<Point> {
    (!targets.is_empty()).then(|| Point {
        rule: "unresolved",
        title: "References lead nowhere".to_owned(),
        points: (2.0 * targets.len() as f64).min(6.0),
        explanation: format!(
            "The text refers to clauses it has not: {}. Something may be missing from it.",
            targets.join(", ")
        ),
        evidence: Vec::new(),
        confidence: 0.8,
    })
}

fn not_read(what: &str, points: f64) -> Point {
    Point {
        rule: "not-read",
        title: format!("{what}: not read"),
        points,
        explanation: format!("{what} could not be found out, so the worse has to be assumed for that part."),
        evidence: Vec::new(),
        confidence: 0.3,
    }
}
