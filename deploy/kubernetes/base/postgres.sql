-- Run once, when the database is made. Our processes are no superuser: what the database refuses them stays refused.
\set password `printenv STOCKROOM_PASSWORD`
CREATE ROLE stockroom LOGIN PASSWORD :'password';
CREATE DATABASE stockroom OWNER stockroom;
