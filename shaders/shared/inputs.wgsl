// What a thread loads of the inputs at once: an Input, which is INPUT_WIDTH channels.
#import shared/units with Unit = Input, unit = input, WIDTH = INPUT_WIDTH
