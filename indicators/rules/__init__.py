"""Rules at work: matchers over columns of events, parts of conditions, and the book that gives drafts."""
