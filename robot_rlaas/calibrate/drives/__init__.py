"""Motor currents: logs from anywhere, rigid bodies, friction with memory, gains."""
