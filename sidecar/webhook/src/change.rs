//! What differs between a list before and after. GitLab lists people as changed when only their review differs.

use crate::field::{Field, List, Object};
use crate::object::{Change, Label, User};

/// Whether two items stand for the same.
pub trait Same {
    fn is_same(&self, other: &Self) -> bool;
}

impl Same for User<'_> {
    fn is_same(&self, other: &Self) -> bool {
        match (self.id.get(), other.id.get()) {
            (Some(id), Some(other)) => id == other,
            _ => self.username.or(&self.name) == other.username.or(&other.name),
        }
    }
}

impl Same for Label<'_> {
    fn is_same(&self, other: &Self) -> bool {
        *self.title == *other.title
    }
}

impl<T: Same + Default> Change<List<T>> {
    pub fn added(&self) -> impl Iterator<Item = &T> {
        missing(&self.current, &self.previous)
    }

    pub fn removed(&self) -> impl Iterator<Item = &T> {
        missing(&self.previous, &self.current)
    }
}

impl<'a> Change<List<User<'a>>> {
    /// Those who are to review it once more.
    pub fn asked_again(&self) -> impl Iterator<Item = &User<'a>> {
        let current = self.current.iter().map(|it| &***it);
        let asked = current.filter(|user| *user.re_requested);
        asked.filter(|user| contains(&self.previous, user))
    }
}

/// Whether something is known to be otherwise now. What cannot be read counts, since nobody knows what it means.
pub trait Differs {
    fn differs(&self) -> bool;
}

impl<T: Same + Default> Differs for Change<List<T>> {
    fn differs(&self) -> bool {
        let is_wrong = |list: &List<T>| list.is_there() && list.get().is_none();
        is_wrong(&self.previous)
            || is_wrong(&self.current)
            || self.added().next().is_some()
            || self.removed().next().is_some()
    }
}

impl Differs for Change<Field<i64>> {
    fn differs(&self) -> bool {
        self.previous.get() != self.current.get()
    }
}

impl<T: Differs + Default> Differs for Object<T> {
    fn differs(&self) -> bool {
        self.get()
            .map_or(self.is_there(), |change| change.differs())
    }
}

fn missing<'e, T: Same>(these: &'e List<T>, those: &'e List<T>) -> impl Iterator<Item = &'e T> {
    let these = these.iter().map(|it| &***it);
    these.filter(|it| !contains(those, it))
}

fn contains<T: Same>(list: &List<T>, wanted: &T) -> bool {
    list.iter().any(|it| it.is_same(wanted))
}
