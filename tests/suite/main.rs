//! The promises of the project, a module each, kept by the real program with real libraries.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod author;
mod bench;
mod c_entry;
mod config;
mod contracts;
mod control;
mod costs;
mod counter;
mod docs;
mod dropin;
mod embed;
mod exec;
mod failures;
mod files;
mod golden;
mod guide;
mod hardship;
mod hostile;
mod jsonb;
mod libraries;
mod live;
mod lock;
mod mocked;
mod orphans;
mod printed;
mod proof;
mod record;
mod reload;
mod replaced;
mod scale;
mod schedule;
mod service;
mod signals;
mod textfile;
mod trust;
