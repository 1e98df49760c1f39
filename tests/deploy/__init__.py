"""What is delivered in deploy/: scripts and files, run or checked by the tools that read them."""
