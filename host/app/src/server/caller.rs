//! Who asks, and what they may do: tokens, roles, and the extractors by which each route says whom it is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};
use crate::project::server::{Role, Tokens};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; none: this server asks nobody for a token.
    pub token: Option<String>,
    /// Whose it is: answers to reviews are theirs.
    pub user: Option<String>,
    /// The groups they belong to.
    pub groups: Vec<String>,
    roles: Vec<Role>,
}

impl Caller {
    /// Whoever reaches a server without tokens: only this machine does.
    pub fn local() -> Caller {
        Caller { token: None, user: None, groups: Vec::new(), roles: vec![Role::Admin] }
    }

    /// Whether they may do what asks for that role.
    pub fn may(&self, asked: Role) -> bool {
        self.roles.iter().any(|role| role.covers(asked))
    }

    /// What they are called in journals.
    pub fn by(&self) -> String {
        self.user.clone().or_else(|| self.token.clone()).unwrap_or_else(|| "local".to_owned())
    }

    /// Lets them do what asks for that role.
    ///
    /// # Errors
    /// When they may not.
    pub fn needs(&self, asked: Role) -> Result<(), Problem> {
        if self.may(asked) {
            return Ok(());
        }
        let token = self.token.as_deref().unwrap_or_default();
        Err(Problem::new(
            Code::Forbidden,
            format!(
                "this is for the role `{}`, which token `{token}` has not; its roles stand in bandstand.toml, [tokens.{token}]",
                asked.name()
            ),
        ))
    }
}

/// The tokens that are known.
#[derive(Clone, Debug, Default)]
pub struct Doorkeeper {
    tokens: Arc<BTreeMap<String, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    digest: [u8; 32],
    caller: Caller,
}

impl Doorkeeper {
    /// For these tokens; none: everybody who gets here may do everything.
    pub fn new(tokens: &Tokens) -> Doorkeeper {
        let known = tokens.iter().map(|(name, token)| {
            let caller = Caller {
                token: Some(name.clone()),
                user: Some(token.user.clone().unwrap_or_else(|| name.clone())),
                groups: token.groups.clone(),
                roles: token.roles.clone(),
            };
            (name.clone(), Known { digest: token.digest, caller })
        });
        Doorkeeper { tokens: Arc::new(known.collect()) }
    }

    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Who asks with these headers.
    ///
    /// # Errors
    /// When a token is needed and there is none, or one that is not known.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.is_open() {
            return Ok(Caller::local());
        }
        let token = bearer(headers).ok_or_else(|| {
            Problem::new(
                Code::Unauthorized,
                "this server asks for a token: send it as `Authorization: Bearer TOKEN`; who keeps the server makes one with \
                 `bandstand token new NAME`",
            )
        })?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        // All are looked at, so the time tells nothing.
        let mut found = None;
        for known in self.tokens.values() {
            if bool::from(known.digest.ct_eq(&digest)) {
                found = Some(&known.caller);
            }
        }
        found.cloned().ok_or_else(|| {
            Problem::new(
                Code::Unauthorized,
                "the token is not known; those that are stand in bandstand.toml, [tokens]",
            )
        })
    }
}

/// The token of a request. A page's WebSocket cannot set headers, so it may send it as a subprotocol: `bearer.TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.as_bytes();
        let (scheme, token) = value.split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii());
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut words = protocols.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.find_map(|word| word.trim_ascii().strip_prefix(b"bearer."))
}

macro_rules! for_role {
    ($(#[$doc:meta])* $name:ident $role:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<$name, Problem> {
                let caller = parts.extensions.get::<Caller>().cloned();
                // The guard puts it there; a route that is not behind it is for nobody.
                let caller = caller.ok_or_else(|| Problem::new(Code::Unauthorized, "nobody looked who asks"))?;
                caller.needs(Role::$role)?;
                Ok($name(caller))
            }
        }
    };
}

for_role! {
    /// A route for whoever may look.
    Viewer Viewer
}
for_role! {
    /// A route for whoever answers reviews.
    Reviewer Reviewer
}
for_role! {
    /// A route for whoever starts and steers runs.
    Operator Operator
}
for_role! {
    /// A route for whoever keeps the server.
    Admin Admin
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::project::server::TokenSettings;

    fn door() -> Doorkeeper {
        let token = |secret: &str, role| TokenSettings {
            digest: Sha256::digest(secret).into(),
            roles: vec![role],
            user: Some("ada".to_owned()),
            groups: Vec::new(),
        };
        Doorkeeper::new(&[("desk".to_owned(), token("secret-1", Role::Reviewer))].into())
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    // R8.2
    #[test]
    fn a_token_is_known_by_its_digest_and_says_who_asks() {
        let caller = door().admit(&with(header::AUTHORIZATION, "bearer secret-1")).unwrap();
        assert_eq!((caller.token.as_deref(), caller.by().as_str()), (Some("desk"), "ada"));
        assert!(caller.may(Role::Viewer) && caller.may(Role::Reviewer));
        assert!(!caller.may(Role::Operator) && !caller.may(Role::Admin));
        let page = with(header::SEC_WEBSOCKET_PROTOCOL, "bandstand, bearer.secret-1");
        assert_eq!(door().admit(&page).unwrap(), caller);
    }

    // R8.2
    #[test]
    fn without_a_known_token_nobody_is_let_in() {
        for wrong in ["", "Bearer", "Bearer ", "Bearer secret-2", "Basic secret-1", "secret-1"] {
            let refused = door().admit(&with(header::AUTHORIZATION, wrong)).unwrap_err();
            assert_eq!(refused.code, Code::Unauthorized, "{wrong}");
            assert!(!refused.detail.contains("secret-"), "{}", refused.detail);
        }
        assert_eq!(door().admit(&HeaderMap::new()).unwrap_err().code, Code::Unauthorized);
        assert_eq!(Doorkeeper::default().admit(&HeaderMap::new()).unwrap(), Caller::local());
    }
}
