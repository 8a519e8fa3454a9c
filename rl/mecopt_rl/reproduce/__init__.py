"""`reproduce`: Figures 6 to 13 of the paper made again, with the line that it could not draw, the optimum."""
