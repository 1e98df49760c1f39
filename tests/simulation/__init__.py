"""Property tests of whole agents on simulated time: what may happen is drawn, what must hold is checked."""
