//! What a compiling child answers on its standard output: one frame, the same for both ends.
//!
//! The checksum tells a whole answer from a mixed-up one. It is no signature: who can write into the pipe is the child,
//! and its code is believed as the compiler's own would be.

/// First bytes of an answer; the last one is the layout's version.
const MAGIC: &[u8; 8] = b"bandcmp\x01";
/// Magic, kind, length of the content, checksum of the content.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8 + blake3::OUT_LEN;
/// The longest text that is answered. Bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// The largest compiled code that is taken, from a child or from the cache: about ten times what the largest component
/// compiles to. Bytes.
pub(crate) const CODE_BYTES_MAX: usize = 1 << 30;

/// How compiling ended in the child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Compiled code.
    Code(Vec<u8>),
    /// The compiler does not take the component, and says why.
    Failed(String),
    /// A fault of the compiler.
    Panicked(String),
    /// The child could not confine itself, so it read nothing.
    Unconfined(String),
}

impl Answer {
    /// The frame's head, and its content to be written after it.
    pub(crate) fn frame(&self) -> (Vec<u8>, &[u8]) {
        let (kind, content) = match self {
            Answer::Code(code) => (0, code.as_slice()),
            Answer::Failed(text) => (1, short(text)),
            Answer::Panicked(text) => (2, short(text)),
            Answer::Unconfined(text) => (3, short(text)),
        };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.push(kind);
        head.extend_from_slice(&(content.len() as u64).to_le_bytes());
        head.extend_from_slice(checksum(kind, content).as_bytes());
        (head, content)
    }
}

fn checksum(kind: u8, content: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(&[kind]).update(content).finalize()
}

fn short(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(TEXT_BYTES_MAX)]
}

/// What has come of an answer so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More is needed.
    Part,
    /// All of it.
    Whole(Answer),
    /// It will never be an answer.
    Garbage(&'static str),
}

/// Looks at what has come. Cheap as long as more is to come.
pub(crate) fn look(bytes: &[u8]) -> Progress {
    let magic = bytes.len().min(MAGIC.len());
    if bytes[..magic] != MAGIC[..magic] {
        return Progress::Garbage("it does not begin as an answer does");
    }
    let Some((head, content)) = bytes.split_at_checked(HEAD_BYTES) else { return Progress::Part };
    let kind = head[MAGIC.len()];
    let mut size = [0; 8];
    size.copy_from_slice(&head[MAGIC.len() + 1..][..8]);
    let size_bytes_max = if kind == 0 { CODE_BYTES_MAX } else { TEXT_BYTES_MAX };
    let Some(size) = usize::try_from(u64::from_le_bytes(size)).ok().filter(|size| *size <= size_bytes_max)
    else {
        return Progress::Garbage("it claims to be larger than any answer is");
    };
    if content.len() < size {
        return Progress::Part;
    }
    if content.len() > size {
        return Progress::Garbage("something follows the answer");
    }
    if checksum(kind, content).as_bytes() != &head[HEAD_BYTES - blake3::OUT_LEN..] {
        return Progress::Garbage("its checksum does not fit");
    }
    let text = || String::from_utf8_lossy(content).into_owned();
    Progress::Whole(match kind {
        0 => Answer::Code(content.to_vec()),
        1 => Answer::Failed(text()),
        2 => Answer::Panicked(text()),
        3 => Answer::Unconfined(text()),
        _ => return Progress::Garbage("it is of an unknown kind"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(answer: &Answer) -> Vec<u8> {
        let (mut bytes, content) = answer.frame();
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn an_answer_is_read_when_it_is_whole_and_not_before() {
        for answer in [
            Answer::Code(vec![1, 2, 3]),
            Answer::Code(Vec::new()),
            Answer::Failed("no".to_owned()),
            Answer::Panicked("oh".to_owned()),
            Answer::Unconfined("open".to_owned()),
        ] {
            let bytes = framed(&answer);
            for part in 0..bytes.len() {
                assert_eq!(look(&bytes[..part]), Progress::Part, "{part}");
            }
            assert_eq!(look(&bytes), Progress::Whole(answer));
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_no_answer() {
        let bytes = framed(&Answer::Code(vec![7; 20]));
        for place in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let mut flipped = bytes.clone();
                flipped[place] ^= bit;
                // A longer length waits for more, which never comes.
                assert!(!matches!(look(&flipped), Progress::Whole(_)), "byte {place}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_has_come() {
        let mut bytes = framed(&Answer::Code(Vec::new()));
        bytes[9..17].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(look(&bytes), Progress::Garbage(_)));
        let mut bytes = framed(&Answer::Failed("x".to_owned()));
        bytes[9..17].copy_from_slice(&(TEXT_BYTES_MAX as u64 + 1).to_le_bytes());
        assert!(matches!(look(&bytes), Progress::Garbage(_)));
        let long = Answer::Failed("y".repeat(TEXT_BYTES_MAX + 5));
        assert!(matches!(look(&framed(&long)), Progress::Whole(Answer::Failed(_))));
    }
}
