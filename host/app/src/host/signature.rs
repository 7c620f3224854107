//! Signatures of webhooks, out and in, as Standard Webhooks has them: `v1,BASE64(HMAC-SHA256(id.timestamp.body))`.

use std::fmt;

use bandstand_engine::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::outgoing::SecretFrom;

/// The header with what is the same for one message, however often it comes.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of sending, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with one signature or several, between spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// A shorter key could be guessed. Bytes.
pub const KEY_BYTES_MIN: usize = 24;
/// No longer one is taken. Bytes.
const KEY_BYTES_MAX: usize = 8 << 10;
/// How far the time of sending may be from the receiver's clock. Milliseconds.
const CLOCK_MS_MAX: u64 = 5 * 60 * 1_000;
/// Signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 8;

/// The key that both sides have. It cannot be printed.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

/// Why a message is not believed. None of the texts holds a part of key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// A header is missing, or is not what it must be.
    #[error(
        "the headers webhook-id, webhook-timestamp and webhook-signature are not all there, or not as Standard Webhooks has them"
    )]
    Headers,
    /// It was sent long ago or far in the future.
    #[error(
        "webhook-timestamp is more than five minutes from the clock here; see to both clocks, and sign each sending anew"
    )]
    Time,
    /// No signature is of this key.
    #[error("no signature in webhook-signature is of this secret and this body")]
    Signature,
}

impl SigningKey {
    /// Of a text: `whsec_` and the key in base64, or the key as it stands.
    ///
    /// # Errors
    /// When it is too short or too long. The message does not hold it.
    pub fn new(text: &str) -> Result<SigningKey, String> {
        let key = match text.strip_prefix("whsec_") {
            Some(encoded) => {
                STANDARD.decode(encoded).map_err(|_| "what follows `whsec_` is not base64".to_owned())?
            }
            None => text.as_bytes().to_vec(),
        };
        if (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
            Ok(SigningKey(key))
        } else {
            Err(format!(
                "it has {} bytes; a key for signing has {KEY_BYTES_MIN} to {KEY_BYTES_MAX}, for instance what \
                 `openssl rand -base64 32` prints",
                key.len()
            ))
        }
    }

    /// Of where the operator keeps it.
    ///
    /// # Errors
    /// When there is none, or it is no key.
    pub fn read(from: &SecretFrom) -> Result<SigningKey, String> {
        let text = super::outgoing::text_of(from)?;
        let of = match from {
            SecretFrom::Env(name) => format!("the host's variable {name}"),
            SecretFrom::File(path) => path.display().to_string(),
        };
        SigningKey::new(&text).map_err(|problem| format!("{of}: {problem}"))
    }

    fn code(&self, id: &str, seconds: &str, body: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }

    /// The value of `webhook-signature` for a message that is sent then.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.code(id, &seconds.to_string(), body)))
    }

    /// Whether a message that came now is of somebody with this key.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(
        &self,
        id: &str,
        seconds: &str,
        signatures: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), NotSigned> {
        if id.is_empty() || id.contains('.') {
            return Err(NotSigned::Headers);
        }
        let sent: i64 = seconds.parse().map_err(|_| NotSigned::Headers)?;
        if sent.saturating_mul(1_000).abs_diff(now.0) > CLOCK_MS_MAX {
            return Err(NotSigned::Time);
        }
        let wanted = self.code(id, seconds, body);
        let given = signatures.split(' ').take(SIGNATURES_MAX).filter_map(|one| one.strip_prefix("v1,"));
        // Every one is compared, and each in the same time.
        let matches = given
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .fold(0, |found, code| found | wanted.ct_eq(&code).unwrap_u8());
        if matches == 1 { Ok(()) } else { Err(NotSigned::Signature) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(...)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = SigningKey::new(SECRET).unwrap();
        assert_eq!(key.sign(ID, 1_614_265_330, BODY), SIGNED);
        assert_eq!(format!("{key:?}"), "SigningKey(...)");
        assert!(SigningKey::new("short").unwrap_err().contains("5 bytes"));
        assert!(SigningKey::new("whsec_!").is_err());
    }

    #[test]
    fn a_message_is_believed_for_five_minutes_and_only_as_it_was_signed() {
        let key = SigningKey::new(SECRET).unwrap();
        let sent = Timestamp(1_614_265_330_000);
        let ask = |id: &str, seconds: &str, signatures: &str, body: &[u8], late_ms: u64| {
            key.verify(id, seconds, signatures, body, sent.plus_ms(late_ms))
        };
        assert_eq!(ask(ID, "1614265330", SIGNED, BODY, 300_000), Ok(()));
        assert_eq!(ask(ID, "1614265330", SIGNED, BODY, 300_001), Err(NotSigned::Time));
        assert_eq!(ask(ID, "1614265331", SIGNED, BODY, 0), Err(NotSigned::Signature), "another time");
        assert_eq!(ask("msg_2", "1614265330", SIGNED, BODY, 0), Err(NotSigned::Signature), "another id");
        assert_eq!(ask(ID, "1614265330", SIGNED, b"{}", 0), Err(NotSigned::Signature), "another body");
        assert_eq!(ask(ID, "soon", SIGNED, BODY, 0), Err(NotSigned::Headers));
        assert_eq!(ask("", "1614265330", SIGNED, BODY, 0), Err(NotSigned::Headers));
        assert_eq!(ask(ID, "1614265330", "", BODY, 0), Err(NotSigned::Signature));
        let rotated = format!("v1a,xx v1,AAAA {SIGNED}");
        assert_eq!(ask(ID, "1614265330", &rotated, BODY, 0), Ok(()), "one of several");
    }
}
