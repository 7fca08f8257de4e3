//! The host's half of the contract.
