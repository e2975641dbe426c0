//! With whose rights something is done. Nothing else in the extension switches roles; `.ci/rights` says so.
//!
//! Whoever owns a table can give it code: domains, operators, casts, policies, triggers, defaults. So whatever touches a table of
//! somebody runs as its owner ([`as_owner`]), and code of a role as that role ([`as_role`]): never with the rights of whoever
//! happens to call. The extension's own tables belong to a role without rights on anything else ([`as_ourselves`]).
//!
//! All three are restricted as PostgreSQL restricts its own maintenance of other people's tables: the code cannot take another
//! role, queue a deferred trigger that would fire with the caller's rights, or leave a temporary table or a setting behind.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString};

/// Reads or writes tables of `owner`, exempt from that owner's own row security, as PostgreSQL runs the queries of foreign keys.
pub fn as_owner<R>(owner: Oid, work: impl FnOnce() -> R) -> R {
    switched(owner, pg_sys::SECURITY_NOFORCE_RLS, work)
}

/// Runs code of a role: a statement or function that it has registered.
pub fn as_role<R>(role: Oid, work: impl FnOnce() -> R) -> R {
    switched(role, 0, work)
}

/// Reads or writes the extension's own tables, which callers need no right on: what they may do is checked on their tables, or by
/// their right to call the function.
pub fn as_ourselves<R>(work: impl FnOnce() -> R) -> R {
    switched(ourselves(), 0, work)
}

/// Runs `work`, which ends with the commit of the transaction that is under way, as code of a role: what waits for the commit as well. No
/// other transaction follows in `work`.
pub fn for_whole_transaction<R>(role: Oid, work: impl FnOnce() -> R) -> R {
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    // SAFETY: switches the user inside of a transaction; where that aborts, it restores the former one by itself.
    unsafe { pg_sys::SetUserIdAndSecContext(role, flags as i32) };
    let result = work();
    // SAFETY: a commit restores nothing, and the next transaction must begin without restriction.
    unsafe { pg_sys::SetUserIdAndSecContext(session_user(), 0) };
    result
}

/// Gives a background worker that has logged in as nobody to a role for the rest of its life, as if it had logged in as that: in the
/// server's lists, and for whoever may end it. Outside of a transaction, so that no abort takes it back.
pub fn begin_session_of(role: Oid, is_superuser: bool) {
    // SAFETY: no transaction is under way; the process has its entries in the lists, which it alone writes.
    unsafe {
        pg_sys::SetSessionAuthorization(role, is_superuser);
        (*pg_sys::MyProc).roleId = role;
        #[cfg(not(feature = "pg18"))]
        pg_sys::pgstat_bestart();
        #[cfg(feature = "pg18")]
        pg_sys::pgstat_bestart_final();
    }
}

fn switched<R>(user: Oid, flags: u32, work: impl FnOnce() -> R) -> R {
    let flags =
        flags | pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    let mut former = Oid::INVALID;
    let mut context = 0;
    // SAFETY: reads the current user and switches to another; user and settings are restored below, or by the abort of the
    // (sub)transaction.
    let level = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut former, &mut context);
        pg_sys::SetUserIdAndSecContext(user, context | flags as i32);
        pg_sys::NewGUCNestLevel()
    };
    let result = work();
    // SAFETY: restores what was read above; the level is the innermost one, since `work` has ended those it began.
    unsafe {
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(former, context);
    }
    result
}

/// The role that owns the extension's schema, and with it everything in there.
fn ourselves() -> Oid {
    // SAFETY: looks up the schema, which is there as long as the extension is, and raises an error if it is not; the entry is read
    // before it is released.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"lockstep".as_ptr(), false);
        let cache = pg_sys::SysCacheIdentifier::NAMESPACEOID as i32;
        let entry = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(schema));
        if entry.is_null() {
            return Oid::INVALID;
        }
        let owner = (*pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_namespace>()).nspowner;
        pg_sys::ReleaseSysCache(entry);
        owner
    }
}

/// Whether somebody calls who has taken our role: an extension that builds on this one.
pub fn are_ourselves() -> bool {
    current_user() == ourselves()
}

/// Whether the current user has the rights of that role.
pub fn has_rights_of(role: Oid) -> bool {
    // SAFETY: looks up the memberships of the current user.
    unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), role) }
}

/// Whether the current user has the rights of the role of that name; a superuser has those of one that is gone as well.
pub fn has_rights_of_name(role: &str) -> bool {
    let Ok(role) = CString::new(role) else {
        return false;
    };
    // SAFETY: the name ends with a NUL; that of no role becomes a number that is no role's.
    let role = unsafe { pg_sys::get_role_oid(role.as_ptr(), true) };
    has_rights_of(role)
}

/// The role whose rights count now.
pub fn current_user() -> Oid {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::GetUserId() }
}

/// The role that the session was begun as.
pub fn session_user() -> Oid {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::GetSessionUserId() }
}

/// What a role is called; its number, if it is gone.
pub fn role_name(role: Oid) -> String {
    // SAFETY: the function answers a palloc'd text, or null for a role that does not exist.
    let name = unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    };
    name.unwrap_or_else(|| role.to_u32().to_string())
}
