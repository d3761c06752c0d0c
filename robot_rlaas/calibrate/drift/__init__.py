"""Production logs: is it still the arm that was calibrated?"""
