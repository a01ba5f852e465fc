"""figures.py"""
def measure(setting, times, json): pass
