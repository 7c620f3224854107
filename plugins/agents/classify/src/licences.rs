//! Known licences by phrases of their own. A share of the phrases found tells how much of the licence is there; a text
//! that only names a licence finds few of them.

use bandstand_prose::Normal;
use serde::Serialize;

use super::round;
use super::signs::Family;

struct Known {
    spdx: &'static str,
    name: &'static str,
    family: Family,
    /// Must be near the beginning, where the licence has a title; `""` for those without.
    title: &'static str,
    phrases: &'static [&'static str],
}

/// A licence and how much of it is in the text.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Candidate {
    pub(crate) spdx: &'static str,
    pub(crate) name: &'static str,
    /// 0 to 1.
    #[serde(rename = "match")]
    pub(crate) share: f64,
    #[serde(skip)]
    pub(crate) family: Family,
    #[serde(skip)]
    pub(crate) found: usize,
    #[serde(skip)]
    pub(crate) phrases: usize,
    #[serde(skip)]
    pub(crate) place: (usize, usize),
}

/// How far into the text a title may stand: behind a name and a copyright line, not in the middle.
const TITLE_WITHIN: usize = 600;

const KNOWN: [Known; 16] = [
    Known {
        spdx: "MIT",
        name: "MIT License",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "permission is hereby granted, free of charge, to any person obtaining a copy",
            "to deal in the software without restriction",
            "copies of the software, and to permit persons to whom the software is furnished to do so",
            "the above copyright notice and this permission notice shall be included in all copies",
            "in no event shall the authors or copyright holders be liable for any claim",
        ],
    },
    Known {
        spdx: "BSD-3-Clause",
        name: "BSD 3-Clause License",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "redistribution and use in source and binary forms",
            "redistributions of source code must retain the above copyright notice",
            "redistributions in binary form must reproduce the above copyright notice",
            "may be used to endorse or promote products derived from this software",
            "even if advised of the possibility of such damage",
        ],
    },
    Known {
        spdx: "BSD-2-Clause",
        name: "BSD 2-Clause License",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "redistribution and use in source and binary forms",
            "redistributions of source code must retain the above copyright notice",
            "redistributions in binary form must reproduce the above copyright notice",
            "even if advised of the possibility of such damage",
        ],
    },
    Known {
        spdx: "ISC",
        name: "ISC License",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee",
            "provided that the above copyright notice and this permission notice appear in all copies",
            "loss of use, data or profits, whether in an action of contract, negligence",
        ],
    },
    Known {
        spdx: "Zlib",
        name: "zlib License",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "freely, subject to the following restrictions",
            "the origin of this software must not be misrepresented",
            "altered source versions must be plainly marked as such",
            "this notice may not be removed or altered from any source distribution",
        ],
    },
    Known {
        spdx: "Apache-2.0",
        name: "Apache License 2.0",
        family: Family::Permissive,
        title: "apache license version 2.0",
        phrases: &[
            "grant of patent license",
            "you must cause any modified files to carry prominent notices stating that you changed the files",
            "if the work includes a \"notice\" text file as part of its distribution",
            "submission of contributions",
            "accepting warranty or additional liability",
        ],
    },
    Known {
        spdx: "MPL-2.0",
        name: "Mozilla Public License 2.0",
        family: Family::WeakCopyleft,
        title: "mozilla public license version 2.0",
        phrases: &[
            "\"incompatible with secondary licenses\"",
            "each contributor hereby grants you a world-wide, royalty-free, non-exclusive license",
            "you may distribute such executable form under the terms of this license, or sublicense it under different terms",
            "you may create and distribute a larger work under terms of your choice",
            "this license represents the complete agreement concerning the subject matter hereof",
        ],
    },
    Known {
        spdx: "LGPL-3.0",
        name: "GNU Lesser General Public License 3",
        family: Family::WeakCopyleft,
        title: "gnu lesser general public license version 3",
        phrases: &[
            "this version of the gnu lesser general public license incorporates the terms and conditions of version 3",
            "a \"combined work\" is a work produced by combining or linking an application with the library",
            "object code incorporating material from library header files",
            "use a suitable shared library mechanism for linking with the library",
            "you may place library facilities that are a work based on the library side by side",
        ],
    },
    Known {
        spdx: "LGPL-2.1",
        name: "GNU Lesser General Public License 2.1",
        family: Family::WeakCopyleft,
        title: "gnu lesser general public license version 2.1",
        phrases: &[
            "this license, the lesser general public license, applies to some specially designated software packages",
            "a \"library\" means a collection of software functions and/or data prepared so as to be conveniently linked",
            "a program that contains no derivative of any portion of the library",
            "work that uses the library",
        ],
    },
    Known {
        spdx: "EPL-2.0",
        name: "Eclipse Public License 2.0",
        family: Family::WeakCopyleft,
        title: "eclipse public license - v 2.0",
        phrases: &[
            "the accompanying program is provided under the terms of this eclipse public license",
            "\"modified works\" shall mean any work in source code or other form",
            "commercial contributor",
        ],
    },
    Known {
        spdx: "GPL-3.0",
        name: "GNU General Public License 3",
        family: Family::StrongCopyleft,
        title: "gnu general public license version 3",
        phrases: &[
            "you must license the entire work, as a whole, under this license to anyone who comes into possession of a copy",
            "protecting users' legal rights from anti-circumvention law",
            "to \"convey\" a work means any kind of propagation that enables other parties to make or receive copies",
            "\"installation information\" for a user product means",
            "no surrender of others' freedom",
            "you may not impose any further restrictions on the exercise of the rights granted or affirmed under this license",
        ],
    },
    Known {
        spdx: "AGPL-3.0",
        name: "GNU Affero General Public License 3",
        family: Family::StrongCopyleft,
        title: "gnu affero general public license version 3",
        phrases: &[
            "remote network interaction",
            "your modified version must prominently offer all users interacting with it remotely through a computer network",
            "you must license the entire work, as a whole, under this license to anyone who comes into possession of a copy",
            "protecting users' legal rights from anti-circumvention law",
        ],
    },
    Known {
        spdx: "GPL-2.0",
        name: "GNU General Public License 2",
        family: Family::StrongCopyleft,
        title: "gnu general public license version 2",
        phrases: &[
            "you must cause any work that you distribute or publish, that in whole or in part contains or is derived from",
            "to be licensed as a whole at no charge to all third parties under the terms of this license",
            "mere aggregation of another work not based on the program",
            "accompany it with a written offer, valid for at least three years",
        ],
    },
    Known {
        spdx: "Artistic-1.0",
        name: "Artistic License",
        family: Family::Permissive,
        title: "artistic license",
        phrases: &[
            "the intent of this document is to state the conditions under which a package may be copied",
            "you may otherwise modify your copy of this package in any way",
            "reasonable copying fee",
        ],
    },
    Known {
        spdx: "CC0-1.0",
        name: "CC0 1.0 Universal",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "cc0 1.0 universal",
            "affirmer hereby overtly, fully, permanently, irrevocably and unconditionally waives, abandons, and surrenders",
            "public license fallback",
        ],
    },
    Known {
        spdx: "Unlicense",
        name: "The Unlicense",
        family: Family::Permissive,
        title: "",
        phrases: &[
            "this is free and unencumbered software released into the public domain",
            "anyone is free to copy, modify, publish, use, compile, sell, or distribute this software",
            "we dedicate any and all copyright interest in the software to the public domain",
        ],
    },
];

/// Licences of which something is in the text, best first. Among equals the one with more phrases found wins: a text
/// with all of BSD-3 has all of BSD-2, too.
pub(crate) fn rank(normal: &Normal) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = KNOWN.iter().filter_map(|known| candidate(known, normal)).collect();
    candidates.sort_by(|a, b| b.share.total_cmp(&a.share).then(b.found.cmp(&a.found)));
    candidates
}

fn candidate(known: &Known, normal: &Normal) -> Option<Candidate> {
    let places: Vec<_> = known.phrases.iter().filter_map(|phrase| normal.find(phrase)).collect();
    let (found, phrases) = (places.len(), known.phrases.len());
    let place = *places.first()?;
    let share = found as f64 / phrases as f64;
    // Without its title at the top a text may be another licence that shares the wording.
    let titled =
        known.title.is_empty() || normal.find(known.title).is_some_and(|(start, _)| start < TITLE_WITHIN);
    let share = round(if titled { share } else { share * 0.7 });
    Some(Candidate { spdx: known.spdx, name: known.name, share, family: known.family, found, phrases, place })
}
