-- Run once, when the database is made. Our processes are no superuser: what the database refuses them stays refused.
\set password `cat /run/secrets/postgres/password`
CREATE ROLE stockroom LOGIN PASSWORD :'password';
CREATE DATABASE stockroom OWNER stockroom TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
