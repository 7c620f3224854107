//! Phrases that tell families of licences apart, with weights in natural logs of odds: 1 makes a family nearly three
//! times as likely. Weights were set by hand so that the common licences come out above 0.9 and texts that mix families
//! below 0.75; phrases are in the form that `Normal` gives.

/// What a licence asks for in return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Notices at most.
    Permissive,
    /// Use is bought, copying forbidden.
    Proprietary,
    /// The whole work under the same licence.
    StrongCopyleft,
    /// None of these, or too little to tell.
    Unknown,
    /// Changes of the licensed files or library under the same licence.
    WeakCopyleft,
}

/// In the order in which ties are told.
pub(crate) const FAMILIES: [Family; 5] =
    [Family::Permissive, Family::WeakCopyleft, Family::StrongCopyleft, Family::Proprietary, Family::Unknown];

impl Family {
    /// As outputs and routes name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Permissive => "permissive",
            Family::Proprietary => "proprietary",
            Family::StrongCopyleft => "strong_copyleft",
            Family::Unknown => "unknown",
            Family::WeakCopyleft => "weak_copyleft",
        }
    }
}

/// A phrase and what it speaks for.
pub(crate) struct Sign {
    pub(crate) family: Family,
    pub(crate) phrase: &'static str,
    pub(crate) weight: f64,
}

const fn sign(family: Family, phrase: &'static str, weight: f64) -> Sign {
    Sign { family, phrase, weight }
}

use Family::{Permissive as P, Proprietary as X, StrongCopyleft as S, WeakCopyleft as W};

/// All signs.
pub(crate) const SIGNS: &[Sign] = &[
    sign(P, "permission is hereby granted, free of charge", 1.6),
    sign(P, "to deal in the software without restriction", 1.4),
    sign(P, "permission to use, copy, modify, and/or distribute this software", 1.8),
    sign(P, "redistribution and use in source and binary forms", 1.8),
    sign(P, "with or without modification, are permitted", 0.8),
    sign(P, "redistributions of source code must retain", 1.0),
    sign(P, "sublicense, and/or sell", 0.8),
    sign(P, "additional or different license terms and conditions", 1.2),
    sign(P, "released into the public domain", 1.2),
    sign(P, "freely, subject to the following restrictions", 1.6),
    sign(P, "commercial and non-commercial", 0.4),
    sign(W, "larger work", 0.9),
    sign(W, "combined work", 1.0),
    sign(W, "covered software", 0.9),
    sign(W, "lesser general public license", 0.7),
    sign(W, "library general public license", 0.7),
    sign(W, "uses the library", 0.6),
    sign(W, "modified version of the library", 0.5),
    sign(W, "relink", 0.6),
    sign(W, "on a file-by-file basis", 1.2),
    sign(W, "modified files under", 0.6),
    sign(W, "distributes modified", 0.6),
    sign(W, "changes to the library", 0.8),
    sign(W, "must make their source available", 0.9),
    sign(W, "source code of the modifications", 1.0),
    sign(S, "must license the entire work, as a whole, under this license", 2.4),
    sign(S, "to be licensed as a whole at no charge to all third parties", 2.2),
    sign(S, "entire combined work", 1.4),
    sign(S, "any work that contains or is derived from", 1.0),
    sign(S, "must be licensed under the same", 1.0),
    sign(S, "share alike", 1.0),
    sign(S, "copyleft", 0.6),
    sign(S, "corresponding source", 0.6),
    sign(S, "work based on the program", 0.6),
    sign(S, "remote network interaction", 0.8),
    sign(S, "interacting with it remotely through a computer network", 1.2),
    sign(X, "all rights reserved. no part", 1.2),
    sign(X, "reverse engineer", 0.9),
    sign(X, "decompile", 0.6),
    sign(X, "confidential", 0.4),
    sign(X, "license fee", 0.9),
    sign(X, "yearly fee", 0.7),
    sign(X, "subscription fee", 0.9),
    sign(X, "non-transferable", 0.9),
    sign(X, "may not distribute", 0.8),
    sign(X, "shall not distribute", 0.8),
    sign(X, "rent, lease", 0.7),
    sign(X, "third parties without the prior written consent", 0.8),
    sign(X, "one copy for backup", 0.7),
    sign(X, "licensor retains all right", 0.8),
    sign(X, "evaluation purposes only", 1.0),
    sign(X, "may audit the use", 0.5),
];
