//! What is counted.

/// Totals since the start, and what is there now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Datagrams that came.
    pub datagrams: u64,
    /// Datagrams that are none of the protocol's, or of a length that their transfer has not.
    pub malformed: u64,
    /// Datagrams beyond the rates, which were dropped.
    pub limited: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that were accepted.
    pub transfers: u64,
    /// Data packets that were not acknowledged because they could not be kept at that moment.
    pub put_off: u64,
    /// Packets that had come before.
    pub repeated: u64,
    /// Pictures that were stored.
    pub completed: u64,
    /// Pictures that a rule dropped.
    pub dropped: u64,
    /// Transfers that ended without a picture: gave up, began anew, or what came is no picture.
    pub aborted: u64,
    /// Pictures that the detector has looked at.
    pub looked: u64,
    /// Pictures that were stored without that: it failed, was too slow, or had too many before it.
    pub unlooked: u64,
    /// Attempts to store a picture that the store refused.
    pub store_refusals: u64,
    /// Bytes of the pictures that were stored.
    pub bytes: u64,
    /// Transfers that are open now.
    pub open_transfers: usize,
    /// Bytes that are in memory now.
    pub held_bytes: usize,
}
