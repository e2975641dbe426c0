-- The schema is created here, without "if not exists": a schema that somebody else prepared is not accepted.
create schema lockstep;
comment on schema lockstep is 'keeps derived columns in lockstep with the rows they are derived from';
grant usage on schema lockstep to public;
