//! The databases that chatops knows, by the names of their options.

use tokio::task::JoinSet;

use crate::connection::Address;
use crate::database::ChatopsDatabase;
use crate::error::Error;

/// In display order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    Dev,
    Ops,
    Pre,
    Staging,
    StagingRef,
    Production,
}

impl Name {
    pub(crate) const ALL: [Self; 6] = [
        Self::Dev,
        Self::Ops,
        Self::Pre,
        Self::Staging,
        Self::StagingRef,
        Self::Production,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Ops => "ops",
            Self::Pre => "pre",
            Self::Staging => "staging",
            Self::StagingRef => "staging-ref",
            Self::Production => "production",
        }
    }

    pub(crate) fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.text() == text)
    }
}

/// One environment.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) name: Name,
    pub(crate) database: ChatopsDatabase,
}

pub(crate) struct Environments(Vec<Environment>);

impl Environments {
    pub(crate) fn new(environments: &[(Name, Address)], schema: &str) -> Result<Self, Error> {
        let environments = environments.iter().map(|(name, address)| {
            Ok(Environment {
                name: *name,
                database: ChatopsDatabase::new(address, schema)?,
            })
        });
        Ok(Self(environments.collect::<Result<_, Error>>()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn all(&self) -> &[Environment] {
        &self.0
    }

    pub(crate) fn get(&self, name: Name) -> Option<&Environment> {
        self.0.iter().find(|it| it.name == name)
    }
}

/// Queries several at the same time; returns the results in order.
pub(super) async fn each<T, F>(
    environments: &[Environment],
    ask: impl Fn(Environment) -> F,
) -> Vec<(Name, T)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut asking = JoinSet::new();
    for environment in environments {
        let name = environment.name;
        let answer = ask(environment.clone());
        asking.spawn(async move { (name, answer.await) });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(name, _)| *name);
    answers
}
