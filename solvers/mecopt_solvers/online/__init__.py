"""Rules for tasks that arrive one by one, and what they can be measured against."""
