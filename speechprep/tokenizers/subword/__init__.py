"""SentencePiece over units and text, and the joint vocabulary of both."""
