"""Tests of chaos itself: of the plan, of the judge above all, and one short run on real parts."""
