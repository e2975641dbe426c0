//! The command `rekey`: re-encrypts with the current key what a previous key has encrypted.

use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;

use crate::connection::{Address, Connection};
use crate::database::{SlackDatabase, StoredTokens};
use crate::error::Error;
use crate::text::say;
use crate::token::{Sealed, SealedWith, TokenKeyArguments, TokenKeys};

/// Re-encrypt the tokens in the database with another key
///
/// With the new key as --token-key and the previous one as --previous-token-key it goes through all workspaces and re-encrypts
/// everything that uses the previous key. Run `serve` with both keys before and until it is done. It can be interrupted and
/// repeated.
#[derive(Args, Debug)]
pub(crate) struct Rekey {
    #[command(flatten)]
    pub(crate) keys: TokenKeyArguments,

    /// The schema of GitLab's tables
    #[arg(long, env = "LOCKSTEP_SCHEMA", default_value = "public")]
    pub(crate) schema: String,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The number of workspaces read at a time.
const MANY: i32 = 500;

#[derive(Default)]
struct Counts {
    sealed: usize,
    unchanged: usize,
    overtaken: usize,
    closed: usize,
}

pub(crate) async fn run(arguments: &Rekey) -> Result<ExitCode, Error> {
    let mut problems = Vec::new();
    let Some(keys) = TokenKeys::configured(&arguments.keys, &mut problems) else {
        return Err(Error::Config(problems));
    };
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let database = SlackDatabase::new(&address, &arguments.schema, 1)?;
    let mut counts = Counts::default();
    let mut after = String::new();
    loop {
        let tokens = database.tokens_after(&after, MANY).await?;
        for old in &tokens {
            reseal(&database, &keys, old, &mut counts).await?;
        }
        match tokens.last() {
            Some(last) => after.clone_from(&last.team),
            None => break,
        }
    }
    let Counts {
        sealed,
        unchanged,
        overtaken,
        closed,
    } = counts;
    say(&format!(
        "{sealed} workspaces re-encrypted, {unchanged} already had the current key, {overtaken} got new tokens in the meantime, {closed} cannot be decrypted with any key\n"
    ));
    Ok(match closed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn reseal(
    database: &SlackDatabase,
    keys: &TokenKeys,
    old: &StoredTokens,
    counts: &mut Counts,
) -> Result<(), Error> {
    let open =
        |sealed: &Option<Sealed>| sealed.as_ref().map(|sealed| keys.open(sealed)).transpose();
    let (Ok(token), Ok(refresh)) = (open(&old.token), open(&old.refresh)) else {
        say(&format!(
            "{}: none of the keys decrypts its tokens\n",
            old.team
        ));
        counts.closed += 1;
        return Ok(());
    };
    let mut opened = token.iter().chain(&refresh);
    if opened.all(|(_, with)| *with == SealedWith::Current) {
        counts.unchanged += 1;
        return Ok(());
    }
    let seal = |token: &(SecretString, SealedWith)| -> Result<Sealed, Error> {
        keys.seal(&token.0)
            .map_err(|error| Error::Token(error.to_string()))
    };
    let new = StoredTokens {
        team: old.team.clone(),
        token: token.as_ref().map(seal).transpose()?,
        refresh: refresh.as_ref().map(seal).transpose()?,
    };
    match database.replace_tokens(old, &new).await? {
        true => counts.sealed += 1,
        false => counts.overtaken += 1,
    }
    Ok(())
}
