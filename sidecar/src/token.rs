//! Tokens are encrypted before they leave this process: AES-256-GCM like GitLab, with a 12-byte nonce stored next to the
//! ciphertext, whose last 16 bytes are the tag.

use std::fmt;

use clap::Args;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

use crate::settings::{Problem, SecretParser};

const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;

/// How tokens are encrypted before they reach the database
#[derive(Args, Debug)]
#[command(next_help_heading = "Token keys")]
pub(crate) struct TokenKeyArguments {
    /// The key for tokens in the database: GitLab's db_key_base, or any text whose first 32 bytes are random
    #[arg(long, value_name = "KEY", env = "LOCKSTEP_TOKEN_KEY", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) token_key: Option<SecretString>,

    /// A previous key, until `rekey` has been run; several are given one each, or separated by commas, which no key may have
    #[arg(long = "previous-token-key", value_name = "KEY", env = "LOCKSTEP_PREVIOUS_TOKEN_KEYS", hide_env_values = true, value_delimiter = ',', value_parser = SecretParser)]
    pub(crate) previous_token_keys: Vec<SecretString>,
}

/// A token as stored: ciphertext with its tag, and the nonce.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
}

impl Sealed {
    /// Whether it has the right form; anybody can write into GitLab's rows.
    pub(crate) fn is_sealed(&self) -> bool {
        self.nonce.len() == NONCE_LENGTH && self.bytes.len() > AES_256_GCM.tag_len()
    }
}

/// The key that encrypts tokens, and previous keys.
pub(crate) struct TokenKeys {
    current: LessSafeKey,
    previous: Vec<LessSafeKey>,
}

/// Which key a token was encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealedWith {
    Current,
    Previous,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CipherError {
    #[error("a token key has at least 32 bytes")]
    ShortKey,

    #[error("none of the keys decrypts a stored token")]
    OtherKey,

    #[error("the system has no random numbers")]
    NoRandomness,
}

impl TokenKeys {
    /// The key is the first 32 bytes of the text, so GitLab's `db_key_base` works unchanged.
    pub(crate) fn new(
        current: &SecretString,
        previous: &[SecretString],
    ) -> Result<Self, CipherError> {
        Ok(Self {
            current: key(current)?,
            previous: previous.iter().map(key).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn configured(
        arguments: &TokenKeyArguments,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let hint = "GitLab's db_key_base, or 32 random characters: its first 32 bytes are the key";
        let Some(current) = &arguments.token_key else {
            problems.push(Problem::missing("--token-key (LOCKSTEP_TOKEN_KEY)", hint));
            return None;
        };
        // An empty variable is not a key.
        let previous = arguments.previous_token_keys.iter();
        let previous: Vec<SecretString> = previous
            .filter(|key| !key.expose_secret().is_empty())
            .cloned()
            .collect();
        match Self::new(current, &previous) {
            Ok(keys) => Some(keys),
            Err(error) => {
                problems.push(Problem {
                    setting: "--token-key (LOCKSTEP_TOKEN_KEY), --previous-token-key",
                    wrong: error.to_string(),
                    hint,
                });
                None
            }
        }
    }

    pub(crate) fn seal(&self, token: &SecretString) -> Result<Sealed, CipherError> {
        let mut nonce = [0; NONCE_LENGTH];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| CipherError::NoRandomness)?;
        let mut bytes = token.expose_secret().as_bytes().to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        self.current
            .seal_in_place_append_tag(once, Aad::empty(), &mut bytes)
            // Tokens are short.
            .map_err(|_| CipherError::NoRandomness)?;
        Ok(Sealed {
            bytes,
            nonce: nonce.to_vec(),
        })
    }

    pub(crate) fn open(&self, sealed: &Sealed) -> Result<(SecretString, SealedWith), CipherError> {
        if let Some(token) = open_with(&self.current, sealed) {
            return Ok((token, SealedWith::Current));
        }
        let opened = self.previous.iter().find_map(|key| open_with(key, sealed));
        opened
            .map(|token| (token, SealedWith::Previous))
            .ok_or(CipherError::OtherKey)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenKeys({} previous)", self.previous.len())
    }
}

fn key(text: &SecretString) -> Result<LessSafeKey, CipherError> {
    let bytes = text.expose_secret().as_bytes();
    let bytes = bytes.get(..KEY_LENGTH).ok_or(CipherError::ShortKey)?;
    let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| CipherError::ShortKey)?;
    Ok(LessSafeKey::new(key))
}

fn open_with(key: &LessSafeKey, sealed: &Sealed) -> Option<SecretString> {
    let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).ok()?;
    let mut bytes = sealed.bytes.clone();
    let token = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
    let token = str::from_utf8(token).ok().map(SecretString::from);
    bytes.fill(0);
    token
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret, SecretString};

    use super::Sealed;
    use super::{CipherError, SealedWith, TokenKeys};

    fn keys(current: &str, previous: &[&str]) -> Result<TokenKeys, CipherError> {
        let previous: Vec<SecretString> = previous.iter().map(|key| (*key).into()).collect();
        TokenKeys::new(&current.into(), &previous)
    }

    const OLD: &str = "an old key of the host, and what follows it is not used";
    const NEW: &str = "a newer key of the host, 32 bytes at least";

    #[test]
    fn tokens_outlive_a_change_of_keys() -> Result<(), CipherError> {
        let token = SecretString::from("xoxb-1");
        let sealed = keys(OLD, &[])?.seal(&token)?;
        assert_eq!(sealed.nonce.len(), 12);
        assert_eq!(sealed.bytes.len(), "xoxb-1".len() + 16);
        let (opened, with) = keys(NEW, &[OLD])?.open(&sealed)?;
        assert_eq!(
            (opened.expose_secret(), with),
            ("xoxb-1", SealedWith::Previous)
        );
        let again = keys(NEW, &[])?.seal(&opened)?;
        let (opened, with) = keys(NEW, &[OLD])?.open(&again)?;
        assert_eq!(
            (opened.expose_secret(), with),
            ("xoxb-1", SealedWith::Current)
        );
        let other = keys(NEW, &[])?.open(&sealed);
        assert_eq!(other.err(), Some(CipherError::OtherKey));
        assert_ne!(keys(OLD, &[])?.seal(&token)?.nonce, sealed.nonce);
        Ok(())
    }

    #[test]
    fn only_the_first_32_bytes_of_a_key_count() -> Result<(), CipherError> {
        let sealed = keys(OLD, &[])?.seal(&"xoxb-1".into())?;
        assert!(keys(&OLD[..32], &[])?.open(&sealed).is_ok());
        assert_eq!(keys(&OLD[..31], &[]).err(), Some(CipherError::ShortKey));
        Ok(())
    }

    #[test]
    fn changed_bytes_are_noticed() -> Result<(), CipherError> {
        let keys = keys(OLD, &[])?;
        let sealed = keys.seal(&"xoxb-1".into())?;
        for place in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[place] ^= 1;
            assert_eq!(keys.open(&changed).err(), Some(CipherError::OtherKey));
        }
        for length in [0, 11, 13] {
            let nonce = vec![0; length];
            let changed = Sealed {
                nonce,
                ..sealed.clone()
            };
            assert_eq!(keys.open(&changed).err(), Some(CipherError::OtherKey));
        }
        Ok(())
    }

    /// What GitLab's attr_encrypted wrote with `db_key_base` "0123456789abcdef0123456789abcdef-and-more".
    #[test]
    fn ciphertext_of_the_host_is_opened() -> Result<(), CipherError> {
        let keys = keys("0123456789abcdef0123456789abcdef-and-more", &[])?;
        let sealed = Sealed {
            bytes: HOST_BYTES.to_vec(),
            nonce: b"nonce of 12 ".to_vec(),
        };
        let (token, _) = keys.open(&sealed)?;
        assert_eq!(token.expose_secret(), "xoxb-host-token");
        Ok(())
    }

    // Created with OpenSSL's AES-256-GCM, through Python's cryptography: AESGCM(key).encrypt(nonce, token, None).
    const HOST_BYTES: [u8; 31] = [
        249, 229, 138, 124, 79, 0, 217, 238, 37, 52, 164, 30, 239, 34, 92, 169, 159, 147, 153, 217,
        5, 235, 65, 133, 43, 226, 217, 216, 9, 104, 128,
    ];
}
